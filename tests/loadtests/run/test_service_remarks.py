"""What a run says of a service that fails, or calls no upstream, in the middle of it."""

from loadtests import plans
from loadtests.recording.messages import Usage
from loadtests.results import Errors, Point
from loadtests.run.service_remarks import ServiceRemarks
from tests.support.example_runs import example


def plan(**deployment: object) -> plans.Plan:
    return plans.Plan.model_validate(
        {
            "name": "shop",
            "deployments": {"async-httpx": deployment},
            "requests": [{"path": "/"}],
        }
    )


TOLD = plan(command="svc {port}", env={"SHOP_URL": "{upstream}"})


def point(**kinds: int) -> Point:
    """A level of 100 requests with these failures."""
    errors = Errors(
        rate=sum(kinds.values()) / 100, kinds={k.strip("_"): n for k, n in kinds.items()}
    )
    return example().of("async-httpx")[0].model_copy(update={"requests": 100, "errors": errors})


def usage(calls: int | None) -> Usage:
    return Usage(stage=0, seconds=1, processes={}, calls=calls)


def remarks(made: plans.Plan, *stages: tuple[Point, Usage | None], words: str = "\nlast words"):
    asked = []

    def failure_words(name: str, exceptions_only: bool) -> str:
        asked.append(exceptions_only)
        return words

    watched = ServiceRemarks(made, failure_words)
    return [one for stage in stages for one in watched.after(*stage)], asked


def test_a_failing_service_is_quoted_once():
    found, asked = remarks(TOLD, (point(_500=60), usage(9)), (point(_500=100), usage(9)))
    assert [one.text for one in found] == [
        "async-httpx fails 60 % of its requests at 1 user (500: 60).\nlast words"
    ]
    assert found[0].now
    assert asked == [False]


def test_a_service_that_refuses_is_quoted_with_exceptions_alone():
    _, asked = remarks(TOLD, (point(_404=50, _307=50), usage(9)))
    assert asked == [True]
    assert remarks(TOLD, (point(_404=50), usage(9)), words="")[0] == []


def test_some_failures_are_not_the_fault_of_the_service():
    assert remarks(TOLD, (point(_500=9), usage(9))) == ([], [])


def test_a_service_that_calls_no_upstream_is_reported_once():
    found, _ = remarks(TOLD, (point(), usage(0)), (point(), usage(0)))
    assert len(found) == 1
    assert found[0].text.startswith("async-httpx: no call came to the mock upstream.")
    assert "SHOP_URL" in found[0].text
    assert remarks(TOLD, (point(), usage(3)), (point(), usage(0)))[0] == []


def test_requests_that_the_load_generator_could_not_send_call_nothing():
    failed = Errors(rate=1.0, kinds={"out of descriptors": 100})
    unsent = point().model_copy(update={"errors": failed})
    assert "no call came" not in "".join(one.text for one in remarks(TOLD, (unsent, usage(0)))[0])


def test_no_remark_is_made_without_expected_or_known_calls():
    for made in (plan(url="http://127.0.0.1:9"), plan(command="svc {port}")):
        assert remarks(made, (point(), usage(0)))[0] == []
    assert remarks(TOLD, (point(), usage(None)), (point(), None))[0] == []
