"""Values of a driver: as the row images of triggers have them, and as keys that survive a round trip through JSON."""

from __future__ import annotations

import datetime as dt
import math
import uuid
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from adapters.legacy.fetching.sessions import Dialect


def json_value(value: object, dialect: Dialect) -> object:
    """A driver's value in the JSON types of row images: whole numbers, Decimal, text as stored, ISO text."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return value
    if isinstance(value, float | Decimal):
        return _number(value)
    if isinstance(value, bytes | bytearray | memoryview):
        digits = bytes(value).hex()
        return dialect.hex_prefix + (digits if dialect.lower_hex else digits.upper())
    if isinstance(value, dt.timedelta):
        return _clock_time(value) if dialect.clock_times else _duration(value)
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return iso(value)
    if isinstance(value, Mapping):
        return {str(name): json_value(one, dialect) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(one, dialect) for one in value]
    return str(value)


def _number(value: float | Decimal) -> object:
    if not math.isfinite(value):
        return str(value)
    return value if isinstance(value, Decimal) else Decimal(repr(value))


def iso(value: dt.date | dt.time) -> str:
    """ISO text: instants in UTC, fractions of a second without trailing zeros (as PostgreSQL's JSON has them)."""
    if isinstance(value, dt.datetime) and value.tzinfo is not None:
        return iso(value.astimezone(dt.UTC).replace(tzinfo=None)) + "+00:00"
    shown = value.isoformat()
    return (
        shown.rstrip("0")
        if getattr(value, "microsecond", 0) and getattr(value, "tzinfo", None) is None
        else shown
    )


def _clock_time(value: dt.timedelta) -> str:
    sign, micros = ("-", -value) if value < dt.timedelta(0) else ("", value)
    seconds = micros.days * 86400 + micros.seconds
    fraction = f".{micros.microseconds:06}".rstrip("0") if micros.microseconds else ""
    return f"{sign}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{fraction}"


def _duration(value: dt.timedelta) -> str:
    days, rest = value.days, value.seconds
    fraction = f".{value.microseconds:06}".rstrip("0") if value.microseconds else ""
    parts = [(rest // 3600, "H"), (rest // 60 % 60, "M")]
    clock = "".join(f"{number}{unit}" for number, unit in parts if number)
    if rest % 60 or fraction:
        clock += f"{rest % 60}{fraction}S"
    shown = f"P{f'{days}D' if days else ''}{f'T{clock}' if clock else ''}"
    return "PT0S" if shown == "P" else shown


def subject_text(value: object) -> str:
    """A subject as changes spell it: text without padding; empty where the row has none."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return f"{value:f}"
    return str(value).rstrip(" ")


_TAGS: dict[type, str] = {
    Decimal: "decimal",
    float: "float",
    dt.datetime: "datetime",
    dt.date: "date",
    dt.time: "time",
    bytes: "bytes",
    uuid.UUID: "uuid",
}
_READ: Mapping[str, Callable[[str], object]] = {
    "decimal": Decimal,
    "float": float,
    "datetime": dt.datetime.fromisoformat,
    "date": dt.date.fromisoformat,
    "time": dt.time.fromisoformat,
    "bytes": bytes.fromhex,
    "uuid": uuid.UUID,
}


def packed(value: object) -> Any:
    """A key's value as JSON that gives the same value again: the database is asked for exactly this one."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, bytearray | memoryview):
        value = bytes(value)
    tag = _TAGS.get(type(value))
    if tag is None:
        return str(value)
    if isinstance(value, bytes):
        return {tag: value.hex()}
    return {
        tag: value.isoformat()
        if isinstance(value, dt.date | dt.time)
        else repr(value)
        if tag == "float"
        else str(value)
    }


def unpacked(value: Any) -> object:
    """The value behind its JSON."""
    if not isinstance(value, dict):
        return value
    ((tag, told),) = value.items()
    return _READ[tag](told)
