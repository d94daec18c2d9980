"""The normal form of a column's value: what a handler leaves is what every store gives back and every digest sees.

A fold in memory and a fold that stored and loaded the row in between must not be told apart, or the size
of a batch would decide an answer. So a value that a store would change, or refuse, is changed or refused here.
Each function raises ValueError saying what is wrong.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from decimal import Decimal
from enum import Enum

import msgspec

_INTEGERS = range(-(2**63), 2**63)
_ODD = re.compile(r"[A-Za-z]|^-[0.]+$")
"""What a Decimal prints that is not in its normal form: an exponent, a NaN, an infinity, a negative zero."""


def text(value: object) -> str:
    """Text that every engine can keep: UTF-8, no NUL character; of an enum's member, its value."""
    if type(value) is str:
        plain = value
    elif isinstance(value, str):
        plain = str.__str__(value)
    else:
        raise _wrong(value, "text")
    if "\x00" in plain:
        raise ValueError(f"is {plain!r}: a NUL character cannot be stored as text")
    if not plain.isascii():
        try:
            plain.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"is {plain!r}, which is not valid Unicode: {error.reason}") from None
    return plain


INDEXED_CHARACTERS = 768
"""What all texts of a key may have together on MariaDB, whose index takes 3072 bytes."""
INDEXED_BYTES = 2_500
"""What one row may have in an index of PostgreSQL, which takes 2704 with its own."""
DECIMAL_CHARACTERS = 255


def indexed_text(columns: int, *, of_key: bool) -> Callable[[object], str]:
    """What makes text of values that an index over so many columns holds: every store's takes it, or it is refused."""
    octets = INDEXED_BYTES // columns
    characters = INDEXED_CHARACTERS // columns if of_key else octets
    surely = min(characters, octets // 4)
    advice = (
        "in a key: key the row by a number, or by a digest of it"
        if of_key
        else "in a declared index: take the column out of indexes="
    )

    def normal(value: object) -> str:
        if type(value) is str and len(value) <= surely and value.isascii() and "\x00" not in value:
            return value
        plain = text(value)
        if len(plain) > surely and (len(plain) > characters or len(plain.encode()) > octets):
            size = f"{len(plain)} characters, {len(plain.encode())} bytes"
            raise ValueError(f"has {size}, and may have {characters} and {octets} {advice}")
        return plain

    return normal


def integer(value: object) -> int:
    """A whole number of at most 64 bits."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong(value, "a whole number")
    if value not in _INTEGERS:
        raise ValueError(f"is {value}, more than 64 bits can hold: use Decimal")
    return int(value)


def decimal(value: object) -> Decimal:
    """An exact, finite number with the places it was given, without exponent or negative zero."""
    if type(value) is Decimal and not _ODD.search(told := str(value)) and len(told) <= DECIMAL_CHARACTERS:
        return value
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        raise _wrong(value, "a Decimal")
    number = Decimal(value)
    if not number.is_finite():
        raise ValueError(f"is {number}, which is not a number that can be stored")
    told = f"{abs(number) if number.is_zero() else number:f}"
    if len(told) > DECIMAL_CHARACTERS:
        raise ValueError(f"has {len(told)} characters, more than the {DECIMAL_CHARACTERS} that can be stored")
    return Decimal(told)


def boolean(value: object) -> bool:
    """True or False, not 1 or 0."""
    if not isinstance(value, bool):
        raise _wrong(value, "True or False")
    return value


def date(value: object) -> dt.date:
    """A calendar day; an instant is none before somebody names a time zone."""
    if isinstance(value, dt.datetime) or not isinstance(value, dt.date):
        raise _wrong(value, "a date")
    return value


def instant(value: object) -> dt.datetime:
    """A point in time, in UTC."""
    if not isinstance(value, dt.datetime):
        raise _wrong(value, "a datetime")
    if value.tzinfo is None:
        raise ValueError(f"is {value}, a local time without a time zone: give it one")
    return value.astimezone(dt.UTC)


def parameter(value: object) -> object:
    """What a read is given, in a type that every driver takes for what it means: an enum's member is its value, an instant is
    told in UTC (there are drivers that leave the zone away). A local time stays one.
    """
    if isinstance(value, Enum):
        return parameter(value.value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return int.__int__(value)
    if isinstance(value, dt.datetime) and value.tzinfo is not None:
        return value.astimezone(dt.UTC)
    return value


def in_utc(value: dt.datetime) -> dt.datetime:
    """An instant; a local time is taken for one of UTC, whatever zone this machine or a server is in."""
    return value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value.astimezone(dt.UTC)


def json(value: object) -> object:
    """A list or an object of JSON values, keys sorted; what JSON has no type for becomes text."""
    if not isinstance(value, (list, dict)):
        raise _wrong(value, "a list or a dict")
    try:
        encoded = msgspec.json.encode(value, order="deterministic")
    except (TypeError, ValueError, msgspec.MsgspecError) as error:
        raise ValueError(f"cannot be kept as JSON: {error}") from error
    if b"\\u0000" in encoded:
        raise ValueError("holds a NUL character, which cannot be stored")
    decoded: object = msgspec.json.decode(encoded)
    return _told(decoded) if _TOLD_OTHERWISE.search(encoded) else decoded


_TOLD_OTHERWISE = re.compile(rb"\de|-0\.0")
"""Where a text of JSON may hold a number that a store spells otherwise: with an exponent, or a negative zero."""
_WHOLE = 1e16
"""From here on, a binary fraction is written with an exponent, and given back without: as a whole number."""


def _told(value: object) -> object:
    """JSON with its numbers as a store that keeps them as numbers (PostgreSQL's jsonb) gives them back."""
    if isinstance(value, dict):
        return {name: _told(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_told(one) for one in value]
    if not isinstance(value, float):
        return value
    return int(Decimal(repr(value))) if abs(value) >= _WHOLE else value + 0.0


def _wrong(value: object, wanted: str) -> ValueError:
    return ValueError(f"is {value!r}, a {type(value).__name__}, not {wanted}")
