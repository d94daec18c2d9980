"""One canonical form per value, whatever engine it came from: what makes two answers comparable at all."""

from __future__ import annotations

import datetime as dt
import json
import math
import uuid
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Final
from zoneinfo import ZoneInfo

from toolkit.core.columns import ColumnType

FLOAT_DIGITS = 15
"""Significant digits that a binary float is known to carry."""


class Absence(Enum):
    """The type of `ABSENT`."""

    ABSENT = "(absent)"


ABSENT: Final = Absence.ABSENT
"""Stands where one side has no such column, element or row; not NULL, which is a value."""


@dataclass(frozen=True, slots=True)
class Unmapped:
    """A legacy code that the column's `map` does not know: equal to itself only, so it always shows."""

    code: str


@dataclass(frozen=True, slots=True)
class NotANumber:
    """A legacy value in a column with a `scale` that is no number: equal to itself only."""

    text: str


def canonical(value: object, kind: ColumnType | None = None, zone: dt.tzinfo | None = None) -> object:
    """The canonical form of one value. Applying it twice changes nothing.

    Strings lose their right padding; ISO text becomes a date or an instant; instants are in UTC, a naive one
    in `zone` if it is given, and stays naive if not. Numbers stay exact and keep their decimal places (which
    equality ignores). `kind` is the column's type where a contract says it: it turns text into numbers, 0 and 1
    into booleans, and text into JSON, which nothing else does.
    """
    if type(value) is str:  # by far the most frequent
        return _text(value.rstrip(" "), kind, zone)
    if value is None or value is True or value is False:
        return value
    if isinstance(value, Enum):
        return value if value is ABSENT else canonical(value.value, kind, zone)
    if isinstance(value, str):
        return _text(value.rstrip(" "), kind, zone)
    if isinstance(value, int | float | Decimal):
        return _number(value, kind)
    if isinstance(value, dt.datetime):
        midnight = kind is ColumnType.DATE and value.tzinfo is None and value.time() == dt.time()
        return value.date() if midnight else _instant(value, zone)
    if isinstance(value, dict):
        return {str(name): canonical(one, None, zone) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [canonical(one, None, zone) for one in value]
    return _other(value)


def _other(value: object) -> object:
    if isinstance(value, dt.date | Unmapped | NotANumber):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, dt.time):
        return value.isoformat()
    return str(value).rstrip(" ")


def _text(text: str, kind: ColumnType | None, zone: dt.tzinfo | None) -> object:
    if kind in (ColumnType.INTEGER, ColumnType.DECIMAL):
        found = as_number(text)
        return text if found is None else found
    if kind in (ColumnType.DATE, ColumnType.INSTANT):
        return _iso(text, zone)
    if kind is ColumnType.JSON and text.lstrip().startswith(("{", "[")):
        try:
            return canonical(json.loads(text, parse_float=Decimal), None, zone)
        except (ValueError, RecursionError):
            return text
    return _iso(text, zone) if _looks_iso(text) else text


def _looks_iso(text: str) -> bool:
    return len(text) >= 10 and text[4] == "-" and text[7] == "-" and text[:4].isdigit()


def _iso(text: str, zone: dt.tzinfo | None) -> object:
    """An ISO date or instant; text that is neither stays text."""
    try:
        if len(text) <= 10:
            return dt.date.fromisoformat(text)
        return _instant(dt.datetime.fromisoformat(text), zone)
    except ValueError:
        return text


def _instant(value: dt.datetime, zone: dt.tzinfo | None) -> dt.datetime:
    if value.tzinfo is None:
        if zone is None:
            return value
        # An hour that occurs twice is taken as standard time, as PostgreSQL's AT TIME ZONE does.
        value = value.replace(tzinfo=zone, fold=1)
    try:
        return value.astimezone(dt.UTC)
    except OverflowError:  # a "for ever" date at the edge of the calendar
        return value.replace(tzinfo=dt.UTC)


def _number(value: int | float | Decimal, kind: ColumnType | None) -> object:  # noqa: PYI041 - they differ here
    if isinstance(value, Decimal) and not value.is_finite():
        return str(value)
    if kind is ColumnType.BOOLEAN and value in (0, 1):
        return bool(value)
    if kind is ColumnType.DATE and isinstance(value, int):
        return _iso(str(value), None) if len(str(value)) == 8 else value
    return _exact(value) if isinstance(value, float) else value


def _exact(value: float) -> object:
    """A float as the decimal that its shortest text says, to as many digits as a float carries.

    The zeros are kept because they are known: 12.5 is not 12.51 rounded.
    """
    if not math.isfinite(value):
        return str(Decimal(value))
    sign, digits, exponent = Decimal(repr(value)).as_tuple()
    padding = max(0, FLOAT_DIGITS - len(digits))
    return Decimal((sign, digits + (0,) * padding, int(exponent) - padding))


def as_number(value: object) -> int | Decimal | None:
    """The number that a canonical value is or spells, or None."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int | Decimal):
        return value
    if not isinstance(value, str):
        return None
    try:
        number = Decimal(value.strip())
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def shown(value: object) -> object:
    """The value as JSON can hold it and a person reads it: exact decimals as text, no trailing zeros."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Decimal):
        text = f"{value:f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, Unmapped):
        return f"code {value.code!r} without a mapping"
    if isinstance(value, NotANumber):
        return f"{value.text!r}, which is no number"
    if isinstance(value, Absence):
        return value.value
    if isinstance(value, dict):
        return {str(name): shown(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [shown(one) for one in value]
    return str(value)


def zone_named(name: str) -> ZoneInfo:
    """The time zone of that IANA name. Raises ValueError when there is none."""
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"{name!r} is not a time zone: write an IANA name such as Europe/Paris") from error
