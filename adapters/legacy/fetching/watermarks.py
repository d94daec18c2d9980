"""How far behind the highest watermark a poll begins, whatever a watermark is: a time, a date, ISO text, a number, bytes."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal

from toolkit.core.errors import UsageError

_FUTURE = dt.timedelta(days=1)
"""A watermark without a zone may be ahead of UTC by most of a day; one that is further ahead is a mistake in its row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What lies so far behind the highest watermark is looked at again: a transaction's now() is when it began."""

    time: dt.timedelta
    count: int

    def below(self, high: object, table: str) -> object:
        """Where a poll begins."""
        if isinstance(high, dt.datetime):
            return high - self.time
        if isinstance(high, dt.date):
            return high - dt.timedelta(days=self.time.days + (1 if self.time.seconds else 0))
        if isinstance(high, str):
            return _text(_parsed(high, table) - self.time, high)
        if isinstance(high, bytes):
            return max(int.from_bytes(high) - self.count, 0).to_bytes(len(high))
        if isinstance(high, int | Decimal) and not isinstance(high, bool):
            return high - self.count
        raise UsageError(
            f"table {table}: a watermark is a time or a growing number, not {type(high).__name__}: choose another column"
        )


def ahead(value: object, now: dt.datetime) -> bool:
    """Is this watermark so far in the future that polls may not begin there? Nothing would be found before that day."""
    try:
        instant = _instant(value)
    except ValueError:
        return False
    return instant is not None and instant > now + _FUTURE


def instead(like: object, now: dt.datetime) -> object:
    """Where polls begin when the highest watermark is ahead of its time: a day ago, spelt like it."""
    ago = now - _FUTURE
    if isinstance(like, str):
        return _text(ago.replace(tzinfo=None), like)
    if isinstance(like, dt.datetime):
        return ago if like.tzinfo else ago.replace(tzinfo=None)
    return ago.date()


def _instant(value: object) -> dt.datetime | None:
    if isinstance(value, str):
        value = dt.datetime.fromisoformat(value)
    if isinstance(value, dt.datetime):
        return value if value.tzinfo else value.replace(tzinfo=dt.UTC)
    if isinstance(value, dt.date):
        return dt.datetime(value.year, value.month, value.day, tzinfo=dt.UTC)
    return None


def _parsed(value: str, table: str) -> dt.datetime:
    try:
        return dt.datetime.fromisoformat(value)
    except ValueError:
        raise UsageError(
            f"table {table}: the watermark {value!r} is text, and not an ISO date (2026-03-01 or 2026-03-01 12:00:00): "
            "choose another column, or capture by snapshot"
        ) from None


def _text(instant: dt.datetime, like: str) -> str:
    """Cut to whole seconds, and to what `like` has: a shorter text sorts before all that go on from it."""
    separator = like[10] if len(like) > 10 else " "
    return instant.replace(tzinfo=None).isoformat(sep=separator, timespec="seconds")[: len(like)]
