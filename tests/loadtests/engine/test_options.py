"""Values of a locustfile's own options reach its parser as they are written in the plan."""

import argparse

from loadtests.engine import options
from loadtests.plans.locust import Locust


def test_lists_reach_options_that_append_and_options_with_several_values(monkeypatch):
    monkeypatch.setattr("sys.argv", ["locust", "--headless"])
    parser = argparse.ArgumentParser()
    parser.add_argument("--item", action="append")
    parser.add_argument("--sizes", nargs="+", type=int)
    parser.add_argument("--region", choices=["eu", "us"], default="eu")
    parser.add_argument("--slow", action="store_true")
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--headless", action="store_true")
    parser.add_argument("users", nargs="*")
    table = Locust(
        options={
            "item": ("a", "-b"),
            "sizes": (1, 2, 3),
            "region": "us",
            "slow": True,
            "fast": False,
        }
    )
    options.give(parser, table.words())
    found = parser.parse_args()
    assert vars(found) == {
        "item": ["a", "-b"],
        "sizes": [1, 2, 3],
        "region": "us",
        "slow": True,
        "fast": False,
        "headless": True,
        "users": [],
    }
