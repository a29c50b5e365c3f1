import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app_under_test.__main__ import command_line
from app_under_test.settings import Settings
from app_under_test.tuning import to_flags

seconds = st.floats(min_value=0, max_value=3600, exclude_min=True)
tables = st.fixed_dictionaries(
    {},
    optional={
        "threads": st.integers(1, 10_000),
        "pool": st.integers(1, 10_000),
        "workers": st.integers(1, 256),
        "connect_timeout": seconds,
        "pool_timeout": seconds,
        "timeout": seconds,
        "keepalive_expiry": seconds,
        "max_concurrent": st.integers(1, 10_000),
        "max_queue": st.integers(0, 10_000),
        "attempts": st.integers(1, 100),
        "retry_budget": st.floats(0, 1),
    },
)


@given(tables)
def test_a_plans_settings_survive_the_command_line(table: dict[str, float]) -> None:
    given = vars(
        command_line().parse_args(["async-httpx", "--upstream", "http://u", *to_flags(table)])
    )
    assert Settings(**{name: given[name] for name in table}) == Settings(**table)


@pytest.mark.parametrize(
    "table",
    [
        {"thread": 40},
        {"threads": 0},
        {"threads": True},
        {"threads": 2.5},
        {"pool": -1},
        {"timeout": 0},
        {"timeout": float("nan")},
        {"pool_timeout": float("inf")},
        {"keepalive_expiry": "soon"},
        {"workers": 0},
        {"max_concurrent": 0},
        {"max_queue": -1},
        {"attempts": 0},
        {"retry_budget": 1.5},
        {"retry_budget": float("nan")},
    ],
    ids=str,
)
def test_an_impossible_setting_is_refused_by_its_name(table: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(table))):
        to_flags(table)


def test_the_environment_sets_values_without_a_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_THREADS", "80")
    monkeypatch.setenv("APP_POOL", "20")
    assert Settings(pool=30) == Settings(threads=80, pool=30)


def test_the_environment_does_not_change_settings_of_a_plan(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("APP_THREADS", "none")
    assert to_flags({"pool": 30}) == ["--pool", "30"]


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().threads = 5  # type: ignore[misc]


@pytest.mark.processes
def test_a_plan_is_checked_without_a_framework_or_a_client() -> None:
    program = (
        "import sys, app_under_test.tuning, app_under_test.variants as v; v.names();"
        "heavy = {'fastapi', 'httpx', 'httpx2', 'requests', 'aiohttp', 'uvicorn'};"
        "print((heavy | {'pydantic_settings'}) & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, encoding="utf-8")
    assert done.stdout == "set()\n", done.stderr
