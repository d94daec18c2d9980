"""Values of Debezium's envelope as the images of capture by trigger have them. Pure.

With a schema, Connect's logical types say what a value is. Without one nobody does: a base64 decimal is a text and a
date is a number, until a hint in the settings (`columns = { BORN = "date" }`) says otherwise. A hint wins over a schema.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import decimal
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

UNAVAILABLE = "__debezium_unavailable_value"
Convert = Callable[[Any], object]
Schema = Mapping[str, Any]

_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - a local time, as the database keeps it
_NANOS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_json = msgspec.json.Decoder(float_hook=Decimal)
_DECIMAL = re.compile(r"decimal(?:\(\s*\d+\s*,\s*(-?\d+)\s*\))?$")
_BITS = re.compile(r"bits(?:\(\s*(\d+)\s*\))?$")


class Style(msgspec.Struct, frozen=True, kw_only=True):
    """How the images of an engine's own capture show what JSON has no type for."""

    binary: Callable[[bytes], str]
    bits: Callable[[int, int], object]
    """the number that the bits make, and how many there are"""
    nested_json: bool
    boolean: Convert


_MYSQL = Style(
    binary=lambda raw: raw.hex().upper(), bits=lambda number, _: number, nested_json=False, boolean=int
)
_OTHERS = Style(
    binary=lambda raw: "\\x" + raw.hex(),
    bits=lambda number, length: format(number, f"0{length}b") if length else format(number, "b"),
    nested_json=True,
    boolean=bool,
)


def style_of(connector: str) -> Style:
    """The style of the engine that a connector reads."""
    return _MYSQL if connector in ("mysql", "mariadb") else _OTHERS


class Unfit(ValueError):
    """A value is not what its schema, or its hint, says."""


def is_unavailable(value: object, placeholder: str = UNAVAILABLE) -> bool:
    """Does the envelope say that it does not know the value (a large one that the statement did not touch)?

    In every form that the placeholder takes: text, base64, and as the only element of an array or a map.
    """
    if isinstance(value, str):
        return value in (placeholder, _base64_of(placeholder))
    if isinstance(value, list):
        whole = list(placeholder.encode())
        return value == whole or (len(value) == 1 and is_unavailable(value[0], placeholder))
    return isinstance(value, dict) and value == {placeholder: placeholder}


def _base64_of(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def convert(value: Any, schema: Schema | None, style: Style) -> object:
    """A value by its Connect schema; without one as it is. Raises Unfit."""
    if value is None or schema is None:
        return value
    name, kind = schema.get("name"), schema.get("type")
    by_name = _NAMED.get(name or "")
    try:
        if by_name is not None:
            return by_name(value, schema, style)
        if kind == "bytes":
            return style.binary(_bytes(value))
        if kind == "array":
            return [convert(one, schema.get("items"), style) for one in value]
        if isinstance(value, bool):
            return style.boolean(value)
        if kind in ("int8", "int16", "int32", "int64") and not isinstance(value, int):
            raise Unfit(f"{_shown(value)} is not a whole number")
    except (TypeError, KeyError, ValueError, OverflowError, msgspec.MsgspecError) as error:
        raise Unfit(f"{_shown(value)} is no {name or kind}: {error}") from error
    return value


def hinted(hint: str, decimals: str = "precise") -> Callable[[Any, Style], object]:
    """What a hint does with a value; `decimals` is the connector's decimal.handling.mode. Raises ValueError.

    A hint is `decimal(p,s)`, `bits(n)`, `bytes`, or the short name of one of Debezium's types: `date`, `microtimestamp`.
    """
    wanted = hint.strip().lower()
    if match := _DECIMAL.match(wanted):
        scale = None if match.group(1) is None else int(match.group(1))
        return _checked(hint, lambda value, _: _decimal(value, scale, decimals))
    if match := _BITS.match(wanted):
        length = {"parameters": {"length": match.group(1) or "0"}}
        return _checked(hint, lambda value, style: _bits(value, length, style))
    if wanted == "bytes":
        return _checked(hint, lambda value, style: style.binary(_bytes(value)))
    known = _SHORT.get(wanted)
    if known is None:
        raise ValueError(
            f"{hint!r} is no type of a column: write decimal(p,s), bits(n), bytes or one of {', '.join(sorted(_SHORT))}"
        )
    return _checked(hint, lambda value, style: known(value, {}, style))


def _checked(hint: str, apply: Callable[[Any, Style], object]) -> Callable[[Any, Style], object]:
    def checked(value: Any, style: Style) -> object:
        if value is None:
            return None
        try:
            return apply(value, style)
        except (
            TypeError,
            KeyError,
            ValueError,
            OverflowError,
            ArithmeticError,
            msgspec.MsgspecError,
        ) as error:
            raise Unfit(f"{_shown(value)} is no {hint}: {error}") from error

    return checked


def _shown(value: object) -> str:
    text = str(value)
    return repr(text if len(text) <= 40 else text[:37] + "...")


# --- numbers and bytes


def _bytes(value: Any) -> bytes:
    if not isinstance(value, str):
        raise TypeError("bytes travel as base64")
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error as error:
        raise ValueError(f"bytes travel as base64: {error}") from error


def _number(raw: bytes, scale: int) -> int | Decimal:
    """Java's BigDecimal: an unscaled number in two's complement, and a scale. Exact however long it is."""
    unscaled = int.from_bytes(raw, "big", signed=True)
    if scale <= 0:
        return unscaled * int(10**-scale)
    digits = tuple(int(digit) for digit in str(abs(unscaled)))
    return Decimal((int(unscaled < 0), digits, -scale))


def _decimal(value: Any, scale: int | None, decimals: str) -> object:
    if isinstance(value, dict):
        return _variable(value)
    if isinstance(value, str) and decimals == "precise":
        if scale is None:
            raise ValueError("a decimal in base64 has no scale of its own: write decimal(p,s)")
        return _number(_bytes(value), scale)
    try:
        number = Decimal(value)
    except decimal.InvalidOperation as error:
        raise ValueError("not a number") from error
    if scale is None or not number.is_finite():
        return number if number.is_finite() else str(value)
    with decimal.localcontext(prec=1000):
        rounded = number.quantize(Decimal((0, (1,), -scale)))
    return int(rounded) if scale <= 0 else rounded


def _variable(value: Any) -> object:
    return _number(_bytes(value["value"]), int(value["scale"]))


def _connect_decimal(value: Any, schema: Schema, _style: Style) -> object:
    if not isinstance(value, str):  # the JSON converter's decimal.format=NUMERIC
        return value
    return _number(_bytes(value), int(schema["parameters"]["scale"]))


def _bits(value: Any, schema: Schema, style: Style) -> object:
    if isinstance(value, bool):
        return style.bits(int(value), 1)
    return style.bits(int.from_bytes(_bytes(value), "little"), int(schema["parameters"].get("length") or 0))


# --- time


def _fraction(nanos: int) -> str:
    return f".{nanos:09d}".rstrip("0") if nanos else ""


def _date(value: Any, _schema: Schema, _style: Style) -> str:
    return (_EPOCH.date() + dt.timedelta(days=value)).isoformat()


def _time(unit: str) -> Callable[[Any, Schema, Style], str]:
    """A time of the day; MySQL's are spans: below zero, and beyond 24 hours."""

    def convert_time(value: Any, _schema: Schema, _style: Style) -> str:
        seconds, nanos = divmod(abs(value) * _NANOS[unit], 10**9)
        minutes, second = divmod(seconds, 60)
        sign = "-" if value < 0 else ""
        return f"{sign}{minutes // 60:02d}:{minutes % 60:02d}:{second:02d}{_fraction(nanos)}"

    return convert_time


def _timestamp(unit: str) -> Callable[[Any, Schema, Style], str]:
    """A local date and time, as the number of units from 1970 in no time zone."""

    def convert_timestamp(value: Any, _schema: Schema, _style: Style) -> str:
        seconds, nanos = divmod(value * _NANOS[unit], 10**9)
        return (_EPOCH + dt.timedelta(seconds=seconds)).isoformat() + _fraction(nanos)

    return convert_timestamp


def _zoned(value: Any, _schema: Schema, _style: Style) -> str:
    if not isinstance(value, str):
        raise TypeError("travels as text")
    return value[:-1] + "+00:00" if value.endswith("Z") else value


def _unzoned(value: Any, _schema: Schema, _style: Style) -> str:
    if not isinstance(value, str):
        raise TypeError("travels as text")
    return value.removesuffix("Z")


def _duration(unit: str) -> Callable[[Any, Schema, Style], str]:
    def convert_duration(value: Any, _schema: Schema, _style: Style) -> str:
        seconds, nanos = divmod(abs(value) * _NANOS[unit], 10**9)
        return f"PT{'-' if value < 0 else ''}{seconds}{_fraction(nanos)}S"

    return convert_duration


# --- the rest


def _document(value: Any, _schema: Schema, style: Style) -> object:
    return _json.decode(value) if style.nested_json and isinstance(value, str) else value


def _as_is(value: Any, _schema: Schema, _style: Style) -> object:
    return value


def _whole(value: Any, _schema: Schema, _style: Style) -> int:
    if not isinstance(value, int):
        raise TypeError("travels as a number")
    return value


_Named = Callable[[Any, Schema, Style], object]
_SHORT: dict[str, _Named] = {
    "date": _date,
    "time": _time("ms"),
    "microtime": _time("us"),
    "nanotime": _time("ns"),
    "timestamp": _timestamp("ms"),
    "microtimestamp": _timestamp("us"),
    "nanotimestamp": _timestamp("ns"),
    "zonedtimestamp": _zoned,
    "zonedtime": _zoned,
    "isodate": _unzoned,
    "isotime": _unzoned,
    "isotimestamp": _unzoned,
    "year": _whole,
    "microduration": _duration("us"),
    "nanoduration": _duration("ns"),
    "interval": _as_is,
    "json": _document,
    "uuid": _as_is,
    "xml": _as_is,
    "enum": _as_is,
    "enumset": _as_is,
    "text": _as_is,
}


def _debezium(names: Sequence[str], package: str) -> dict[str, _Named]:
    return {f"io.debezium.{package}.{name}": _SHORT[name.lower()] for name in names}


_NAMED: dict[str, _Named] = {
    **_debezium(
        ("Date", "Time", "MicroTime", "NanoTime", "Timestamp", "MicroTimestamp", "NanoTimestamp"), "time"
    ),
    **_debezium(("ZonedTimestamp", "ZonedTime", "IsoDate", "IsoTime", "IsoTimestamp", "Year"), "time"),
    **_debezium(("MicroDuration", "NanoDuration", "Interval"), "time"),
    **_debezium(("Json", "Uuid", "Xml", "Enum", "EnumSet"), "data"),
    "io.debezium.data.Bits": _bits,
    "io.debezium.data.VariableScaleDecimal": lambda value, _, __: _variable(value),
    "org.apache.kafka.connect.data.Decimal": _connect_decimal,
    "org.apache.kafka.connect.data.Date": _date,
    "org.apache.kafka.connect.data.Time": _time("ms"),
    "org.apache.kafka.connect.data.Timestamp": _timestamp("ms"),
}
