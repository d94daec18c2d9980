"""Named ways in which two values that differ may still say the same thing.

Each takes (old, new) and tells whether the difference vanishes. The declared ones (tolerance, case,
collapse) excuse a difference; the undeclared ones only name it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal

from shadow.normalise import ColumnRule
from shadow.values import as_number

SameIf = Callable[[object, object], bool]

WIDEST_ZONE_GAP = dt.timedelta(hours=26)
ZONE_STEP = dt.timedelta(minutes=15)


def excused(old: object, new: object, rule: ColumnRule) -> str | None:
    """The declared rule under which the values count as one, or None."""
    if rule.tolerance is not None and _within(old, new, rule.tolerance):
        return "tolerance"
    if not rule.case and _case(old, new):
        return "case"
    if any(old in group and new in group for group in rule.collapse if _words(old, new)):
        return "collapse"
    return None


def vanishes_under(old: object, new: object) -> str | None:
    """The first weaker rule, by name, under which the difference would vanish, or None: it is semantic."""
    return next((name for name, same in UNDECLARED.items() if same(old, new)), None)


def _words(old: object, new: object) -> bool:
    return isinstance(old, str) and isinstance(new, str)


def _within(old: object, new: object, tolerance: Decimal | dt.timedelta) -> bool:
    if isinstance(tolerance, dt.timedelta):
        if isinstance(old, dt.datetime) and isinstance(new, dt.datetime):
            return (old.tzinfo is None) == (new.tzinfo is None) and abs(old - new) <= tolerance
        apart = _days_apart(old, new)
        return apart is not None and apart <= tolerance
    if not _numbers(old, new):
        return False
    return abs(Decimal(str(old)) - Decimal(str(new))) <= tolerance


def _days_apart(old: object, new: object) -> dt.timedelta | None:
    if isinstance(old, dt.datetime) or isinstance(new, dt.datetime):
        return None
    return abs(old - new) if isinstance(old, dt.date) and isinstance(new, dt.date) else None


def _numbers(old: object, new: object) -> bool:
    return all(isinstance(one, int | Decimal) and not isinstance(one, bool) for one in (old, new))


def _case(old: object, new: object) -> bool:
    return isinstance(old, str) and isinstance(new, str) and old.casefold() == new.casefold()


def _whitespace(old: object, new: object) -> bool:
    return isinstance(old, str) and isinstance(new, str) and old.split() == new.split()


def _case_and_whitespace(old: object, new: object) -> bool:
    return isinstance(old, str) and isinstance(new, str) and old.casefold().split() == new.casefold().split()


def _empty(old: object, new: object) -> bool:
    return all(one is None or (isinstance(one, str) and not one.strip()) for one in (old, new))


def _precision(old: object, new: object) -> bool:
    """One side has fewer decimal places, or no fraction of a second, or no time of day."""
    if isinstance(old, dt.date) and isinstance(new, dt.date):
        return _same_but_for_time(old, new)
    if not _numbers(old, new):
        return False
    one, other = Decimal(str(old)), Decimal(str(new))
    places = [max(0, -int(number.as_tuple().exponent)) for number in (one, other)]
    return places[0] != places[1] and abs(one - other) < Decimal(1).scaleb(-min(places))


def _same_but_for_time(old: dt.date, new: dt.date) -> bool:
    if isinstance(old, dt.datetime) and isinstance(new, dt.datetime):
        if (old.tzinfo is None) != (new.tzinfo is None):
            return False
        whole = min(old, new).microsecond == 0 or max(old, new).microsecond == 0
        milli = min(old, new).microsecond % 1000 == 0 or max(old, new).microsecond % 1000 == 0
        gap = abs(old - new)
        return (whole and gap < dt.timedelta(seconds=1)) or (milli and gap < dt.timedelta(milliseconds=1))
    days = [one.date() if isinstance(one, dt.datetime) else one for one in (old, new)]
    return days[0] == days[1]


def _zone(old: object, new: object) -> bool:
    """The same wall clock, or a whole number of quarter hours apart, as two time zones are."""
    if not (isinstance(old, dt.datetime) and isinstance(new, dt.datetime)):
        return False
    gap = abs(_as_utc(old) - _as_utc(new))
    return gap <= WIDEST_ZONE_GAP and gap % ZONE_STEP == dt.timedelta()


def _as_utc(value: dt.datetime) -> dt.datetime:
    return value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value.astimezone(dt.UTC)


def _representation(old: object, new: object) -> bool:
    """A number and the text that spells it."""
    if isinstance(old, str) == isinstance(new, str):
        return False
    one, other = as_number(old), as_number(new)
    return one is not None and one == other


UNDECLARED: dict[str, SameIf] = {
    "case": _case,
    "whitespace": _whitespace,
    "case and whitespace": _case_and_whitespace,
    "null or empty": _empty,
    "precision": _precision,
    "time zone": _zone,
    "representation": _representation,
}
