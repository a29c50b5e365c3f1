"""What a profile may say about rate limits."""

import pytest
from pydantic import TypeAdapter, ValidationError

from mock_upstream.admission.rate_limits import FixedWindow, Limit, TokenBucket
from mock_upstream.profiles.profile import describe

LIMIT: TypeAdapter[Limit] = TypeAdapter(Limit)


def refused(**values: object) -> str:
    with pytest.raises(ValidationError) as error:
        LIMIT.validate_python(values)
    return describe(error.value, values)


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "token_bucket", "limit": 10, "per": "1s", "burst": 20, "retry_after": "late"},
        {"kind": "fixed_window", "limit": 10, "per": "60s", "late_by": "3s", "key": "route"},
        {"kind": "sliding_window", "limit": 10, "per": "50ms", "key": "address", "keys": 5},
        {"kind": "concurrency", "limit": 10, "key": "header:x-client", "status": 503},
    ],
)
def test_a_limit_reads_back_what_it_writes(values: dict[str, object]) -> None:
    limit = LIMIT.validate_python(values)
    written = LIMIT.dump_python(limit, mode="json")
    assert values.items() <= written.items()
    assert LIMIT.validate_python(written) == limit


def test_a_bucket_holds_as_many_as_its_limit_unless_told() -> None:
    bucket = {"kind": "token_bucket", "limit": 7, "per": "1s"}
    assert TokenBucket.model_validate(bucket).size == 7
    assert TokenBucket.model_validate({**bucket, "burst": 2}).size == 2


def test_a_header_is_named_in_lower_case() -> None:
    limit = LIMIT.validate_python({"kind": "concurrency", "limit": 1, "key": "header:X-Api-Key"})
    assert limit.key == "header:x-api-key"


def test_invalid_values_are_refused_with_their_key() -> None:
    window: dict[str, object] = {"kind": "fixed_window", "limit": 3, "per": "1s"}
    assert "kind: there is no kind 'leaky_bucket'; there are: token_bucket, fixed" in refused(
        kind="leaky_bucket", limit=1
    )
    assert "per: Field required" in refused(kind="fixed_window", limit=3)
    assert "limit: " in refused(**{**window, "limit": 0})
    assert "per: a duration above 0" in refused(**{**window, "per": "0s"})
    assert "per: 0.1us is too short" in refused(**{**window, "per": "0.1us"})
    assert "per: 1 is not text" in refused(**{**window, "per": 1})
    assert "burst: there is no such key" in refused(**window, burst=3)
    assert "status: " in refused(**window, status=200)
    assert "keys: " in refused(**window, keys=0)
    assert "retry_after: " in refused(**window, retry_after="never")
    for key in ("client", "header", "header:", "header:a b", "header:a\nb", "all:x"):
        assert f"key: {key!r} is not a key" in refused(**window, key=key)
    log = {**window, "kind": "sliding_window", "limit": 2_000_000}
    assert "limit = 2000000 arrivals are too many to remember" in refused(**log)
    concurrency = {"kind": "concurrency", "limit": 3, "retry_after": "honest"}
    assert "retry_after: there is no such key" in refused(**concurrency)


def test_a_period_is_a_whole_number_of_nanoseconds() -> None:
    window = {"kind": "fixed_window", "limit": 1, "per": "100ms"}
    assert FixedWindow.model_validate(window).period == 100_000_000
