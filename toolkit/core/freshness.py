"""How old a view may be, how old it is, and how far an answer can be trusted."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from toolkit.core.errors import UsageError


class ReadClass(StrEnum):
    """How much divergence the business tolerates in a read."""

    INFORMATIONAL = "informational"
    OPERATIONAL = "operational"
    DECISION_SUPPORT = "decision_support"
    AUTHORITATIVE = "authoritative"


class WhenStale(StrEnum):
    """What to do with a read whose view is older than its objective."""

    SERVE = "serve"
    WARN = "warn"
    LEGACY = "legacy"
    REFUSE = "refuse"


class Confidence(StrEnum):
    """How far an answer can be trusted, in one word."""

    AUTHORITATIVE = "authoritative"
    FRESH = "fresh"
    STALE = "stale"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """How far behind a view is.

    `as_of`: everything the legacy source had committed by then is in the view (None: nothing is
    promised yet). `now` is the legacy source's own clock, so no clock skew enters the lag.
    """

    as_of: dt.datetime | None
    now: dt.datetime
    objective: dt.timedelta
    parked: int = 0

    @property
    def lag(self) -> dt.timedelta | None:
        """Age of the view, or None when nothing is promised yet. Never negative."""
        return None if self.as_of is None else max(self.now - self.as_of, dt.timedelta())

    @property
    def within_objective(self) -> bool:
        """Is the view young enough for its read class?"""
        return self.lag is not None and self.lag <= self.objective

    def confidence(self, *, held: bool = False) -> Confidence:
        """Confidence in an answer from this view; `held`: events of its subject are parked."""
        if held or self.as_of is None:
            return Confidence.UNKNOWN
        return Confidence.FRESH if self.within_objective else Confidence.STALE


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """An instant on the clock of one legacy source: "I have committed by then; show me a view that contains it".

    A writer takes it right after its commit, from the database that it wrote to. Its text travels in a header or cookie.
    """

    source: str
    instant: dt.datetime

    def __str__(self) -> str:
        """As text: `policy_admin@2026-06-30T12:00:00.123456+00:00`."""
        return f"{self.source}@{self.instant.astimezone(dt.UTC).isoformat()}"

    @staticmethod
    def parse(text: str, source: str) -> Token:
        """Read a token's text, or a bare instant, which is on the clock of `source`. Raises UsageError."""
        name, at, rest = text.rpartition("@")
        try:
            instant = dt.datetime.fromisoformat(rest)
        except ValueError as error:
            raise UsageError(
                f"{text}: write an instant as 2026-06-30T12:00:00Z, or a token as SOURCE@INSTANT"
            ) from error
        if instant.tzinfo is None:
            raise UsageError(f"{text}: an instant needs its zone: write {rest}Z if it is UTC")
        return Token(source=name if at else source, instant=instant)


class Verdict(StrEnum):
    """What becomes of a projection's answer."""

    SERVE = "serve"
    WARN = "warn"
    FALL_BACK = "fall_back"
    REFUSE = "refuse"


def react(when_stale: WhenStale, confidence: Confidence, *, legacy_left: bool = True) -> Verdict:
    """What `when_stale` makes of an answer's confidence. Unknown is treated like stale.

    `legacy_left`: is there still a legacy read path? Once it is retired, `legacy` can only refuse:
    its author said that a stale view may not be shown.
    """
    if confidence in (Confidence.FRESH, Confidence.AUTHORITATIVE) or when_stale is WhenStale.SERVE:
        return Verdict.SERVE
    if when_stale is WhenStale.WARN:
        return Verdict.WARN
    if when_stale is WhenStale.LEGACY and legacy_left:
        return Verdict.FALL_BACK
    return Verdict.REFUSE
