"""`brownout claims`: statements about FastAPI and its HTTP clients, put to the test."""

from loadtests.claims.checking import (
    PLANS,
    NoSuchClaim,
    check,
    chosen,
    plan_of,
    probed,
)

__all__ = [
    "PLANS",
    "NoSuchClaim",
    "check",
    "chosen",
    "plan_of",
    "probed",
]
