"""Values of a table and of an event about it, in one form that keeps what matters: scale, padding, bytes, instants."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import msgspec
from sqlalchemy import types
from sqlalchemy.dialects import postgresql

decode = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode
Read = Callable[[Any], object]


def stored(value: Any) -> object:
    """A value as the driver gives it."""
    if isinstance(value, Decimal):
        return "decimal", str(value)
    if isinstance(value, dt.datetime) and value.tzinfo is not None:
        return value.astimezone(dt.UTC)
    if isinstance(value, memoryview | bytearray):
        return bytes(value)
    if isinstance(value, uuid.UUID | postgresql.BitString):
        return str(value)
    if isinstance(value, list):
        return tuple(stored(one) for one in value)
    if isinstance(value, dict):
        return msgspec.json.encode(value, order="deterministic").decode()
    return value


def reader(kind: types.TypeEngine[Any]) -> Read:
    """How a value of a column of this type is read from an event."""
    if isinstance(kind, postgresql.DOMAIN):
        return reader(kind.data_type)
    if isinstance(kind, types.ARRAY):
        of = reader(kind.item_type)
        return lambda value: tuple(None if one is None else of(one) for one in value)
    for type_, read in _READERS:
        if isinstance(kind, type_):
            return read
    return _exactly(str)


def as_kept(value: Any) -> object:
    """A value that has no declared type: a whole number, a float, a text."""
    return float(value) if isinstance(value, Decimal) else value


def told(row: str, readers: Mapping[str, Read]) -> dict[str, object]:
    """The row of an event; every column is there, and none that the table has not."""
    found = decode(row)
    assert found.keys() == readers.keys()
    return {name: None if value is None else readers[name](value) for name, value in found.items()}


def _exactly(type_: type) -> Read:
    def read(value: Any) -> object:
        assert type(value) is type_, f"{value!r} is no {type_.__name__}"
        return value

    return read


def _instant(value: str) -> dt.datetime:
    found = dt.datetime.fromisoformat(value)
    return found if found.tzinfo is None else found.astimezone(dt.UTC)


def _document(value: Any) -> str:
    plain = msgspec.json.decode(_encode(value))
    return msgspec.json.encode(plain, order="deterministic").decode()


_encode = msgspec.json.Encoder(decimal_format="number").encode
_READERS: list[tuple[Any, Read]] = [
    (types.Boolean, _exactly(bool)),
    (types.Integer, _exactly(int)),
    (types.Float, float),
    (types.Numeric, lambda value: ("decimal", str(value))),
    (types.DateTime, _instant),
    (types.Date, dt.date.fromisoformat),
    (types.Time, dt.time.fromisoformat),
    (types.LargeBinary, lambda value: bytes.fromhex(value.removeprefix("\\x"))),
    (types.JSON, _document),
]
