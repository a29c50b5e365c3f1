"""What a profile may say about capacity."""

import pytest
from pydantic import ValidationError

from mock_upstream.admission.capacity import ServerCapacity, Slowdown
from mock_upstream.profiles.profile import describe


def refused(**values: object) -> str:
    with pytest.raises(ValidationError) as error:
        ServerCapacity.model_validate({"servers": 2, **values})
    return describe(error.value, values)


def test_only_the_number_of_servers_is_required() -> None:
    capacity = ServerCapacity(servers=8)
    assert (capacity.queue, capacity.overflow, capacity.on_disconnect) == (1000, 503, "keep")
    assert capacity.slowdown.factor(8) == 1


@pytest.mark.parametrize("overflow", [429, 503, "reset", "close", "hang"])
def test_a_capacity_reads_back_what_it_writes(overflow: object) -> None:
    values = {
        "servers": 3,
        "queue": 0,
        "overflow": overflow,
        "slowdown": {"alpha": 0.1, "beta": 0.001},
        "on_disconnect": "release",
    }
    capacity = ServerCapacity.model_validate(values)
    assert capacity.model_dump(mode="json") == {**values, "retry_after": None}
    assert ServerCapacity.model_validate_json(capacity.model_dump_json()) == capacity


def test_invalid_values_are_refused_with_their_key() -> None:
    assert refused(servers=0).startswith("servers: ")
    assert refused(servers=2.5).startswith("servers: ")
    assert refused(queue=-1).startswith("queue: ")
    assert "overflow: 'explode' is neither an error status" in refused(overflow="explode")
    assert "overflow: 200 is neither" in refused(overflow=200)
    assert "overflow: True is neither" in refused(overflow=True)
    assert "overflow: [503] is neither" in refused(overflow=[503])
    assert "retry_after: 1 is not text" in refused(retry_after=1)
    assert "overflow is 'hang'" in refused(overflow="hang", retry_after="1s")
    assert refused(slowdown={"alpha": -1}).startswith("slowdown.alpha: ")
    assert refused(slowdown={"beta": float("nan")}).startswith("slowdown.beta: ")
    assert refused(slowdown={"beta": 1e308}).startswith("slowdown.beta: ")
    assert refused(on_disconnect="drop").startswith("on_disconnect: ")
    assert refused(serves=2) == "serves: there is no such key"


def test_slowdown_is_the_universal_scalability_law() -> None:
    slowdown = Slowdown(alpha=0.1, beta=0.01)
    assert slowdown.factor(1) == 1
    assert slowdown.factor(5) == pytest.approx(1 + 0.1 * 4 + 0.01 * 5 * 4)
    # n / factor(n) peaks at sqrt((1 - alpha) / beta) and falls beyond (Gunther 2007).
    assert max(range(1, 100), key=lambda n: n / slowdown.factor(n)) == 9
