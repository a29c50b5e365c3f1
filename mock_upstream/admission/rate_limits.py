"""
Rate limits: the settings. `mock_upstream.admission.rate_limiter` keeps them.

A request must pass all limits of a list; one that is refused uses up none of them.
"""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from mock_upstream.units.durations import PositiveDuration, format_duration
from mock_upstream.units.tables import StrictTable

NANOSECONDS = 1_000_000_000

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2


def _key(key: str) -> str:
    kind, _, name = key.partition(":")
    if key in ("all", "route", "address"):
        return key
    if kind == "header" and _TOKEN.fullmatch(name):
        return f"header:{name.lower()}"
    raise ValueError(f"{key!r} is not a key; there are: all, route, address, header:NAME")


def _a_microsecond(seconds: float) -> float:
    if seconds < 1e-6:
        raise ValueError(f"{format_duration(seconds)} is too short; 1us is the shortest")
    return seconds


Key = Annotated[str, AfterValidator(_key)]
Period = Annotated[PositiveDuration, AfterValidator(_a_microsecond)]


class _Limit(StrictTable):
    """What all kinds have in common."""

    limit: Annotated[int, Field(ge=1, le=1_000_000_000)]
    """Requests."""
    key: Key = "all"
    """
    Whose requests count together: all, those of a route, of a client's address, or those with
    the same value of a header (those without the header count together, too).
    """
    status: Annotated[int, Field(ge=400, le=599)] = 429


class _Timed(_Limit):
    """A limit on requests in a time, which can say when it will be over."""

    per: Period
    """The time in which `limit` requests may come."""
    keys: Annotated[int, Field(ge=1, le=100_000)] = 10_000
    """
    How many keys are remembered. The one that was silent for longest is forgotten for a new
    one, and may start afresh: more clients than this, taking turns, are not held to the limit.
    """
    retry_after: Literal["honest", "late", "absent"] = "honest"
    """
    Honest: the first whole second after which a request will be admitted if nobody else takes
    its place. Late: `late_by` more. Absent: no such header.
    """
    late_by: PositiveDuration = 10.0
    ratelimit_headers: bool = False
    """
    Whether a refusal also has RateLimit-Limit, -Remaining and -Reset, always honest
    (draft-ietf-httpapi-ratelimit-headers-07).
    """

    @property
    def period(self) -> int:
        """`per` in nanoseconds."""
        return round(self.per * NANOSECONDS)


class TokenBucket(_Timed):
    """
    A bucket holds `burst` tokens, full at first, and gains `limit` tokens `per` time, evenly.

    A request takes one. Any stretch of t seconds admits at most burst + t * limit / per.
    """

    kind: Literal["token_bucket"]
    burst: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None
    """None: as many as `limit`."""

    @property
    def size(self) -> int:
        """Tokens in a full bucket."""
        return self.limit if self.burst is None else self.burst


class FixedWindow(_Timed):
    """
    Admits at most `limit` requests in each window of `per`, counted from the limiter's start.

    All keys have the same windows. Around the border of two, twice the limit may come at once.
    """

    kind: Literal["fixed_window"]


class SlidingWindow(_Timed):
    """
    Admits at most `limit` requests in any stretch of `per` seconds: exact, with a log of arrivals.

    (The sliding counter of some proxies only estimates this.) All logs together hold at most
    a million arrivals, so fewer keys are remembered where the limit is above 100.
    """

    kind: Literal["sliding_window"]

    @model_validator(mode="after")
    def _fits_into_memory(self) -> Self:
        if self.limit > LOGGED:
            raise ValueError(
                f"limit = {self.limit} arrivals are too many to remember; a sliding window takes "
                f"{LOGGED} at most, a token_bucket more"
            )
        return self


LOGGED = 1_000_000
"""Arrivals that the logs of one sliding window hold at most, all keys together."""


class Concurrency(_Limit):
    """
    Admits at most `limit` requests at once, from admission to the end of the answer.

    Nobody can know when one of them will end, so there is no Retry-After.
    """

    kind: Literal["concurrency"]


Limit = Annotated[
    TokenBucket | FixedWindow | SlidingWindow | Concurrency, Field(discriminator="kind")
]
