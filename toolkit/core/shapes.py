"""Data of a shape: plain JSON values that fit a struct, with the edges of each field's type tried one by one.

Few and always the same, so that a check which finds a fault finds it again.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import inspect

JSON = dict[str, object]
_TEXTS = ["x", "", "0", "Ünïcode ✓ with  spaces\n", "y" * 300]
_NUMBERS = [1, 0, -1, 2**31, -(2**53)]
_DECIMALS = ["1.50", "0", "-0.01", "12345678901234567890.123456", "1E+3"]
_DATES = ["2024-02-29", "0001-01-01", "9999-12-31"]
_INSTANTS = ["2024-02-29T23:59:59.999999Z", "0001-01-01T00:00:00Z", "2024-03-31T02:30:00+02:00"]


def data_of_shape(shape: type[msgspec.Struct]) -> Iterator[JSON]:
    """A usual one first; then, field by field, each edge of its type, and the field left out where it may be."""
    fields = msgspec.structs.fields(shape)
    edges = {field.encode_name: _fitting(field.type) for field in fields}
    usual = {name: values[0] for name, values in edges.items() if values}
    yield usual
    for field in fields:
        name = field.encode_name
        for value in edges[name][1:]:
            yield {**usual, name: value}
        if not field.required:
            yield {key: value for key, value in usual.items() if key != name}


def _fitting(hint: Any) -> list[object]:
    """Candidates that the type takes: constraints of msgspec.Meta are asked of msgspec itself."""
    fitting = []
    for value in _edges(inspect.type_info(hint)):
        try:
            msgspec.convert(value, hint, strict=False)
        except msgspec.ValidationError:
            continue
        fitting.append(value)
    return fitting


def _edges(kind: inspect.Type) -> list[object]:
    """Candidates for a type, the usual one first."""
    if isinstance(kind, inspect.Metadata):
        return _edges(kind.type)
    if isinstance(kind, inspect.UnionType):
        return _of_union(kind)
    if isinstance(kind, inspect.LiteralType):
        return list(kind.values)
    if isinstance(kind, inspect.EnumType):
        return [one.value for one in kind.cls]
    if isinstance(kind, (inspect.ListType, inspect.SetType, inspect.VarTupleType)):
        inner = _edges(kind.item_type)
        return [inner[:1], [], inner[:2]]
    if isinstance(kind, inspect.TupleType):
        return [[_edges(one)[0] for one in kind.item_types]]
    if isinstance(kind, inspect.DictType):
        return [*({"a": value} for value in _edges(kind.value_type)[:1]), {}]
    if isinstance(kind, inspect.StructType):
        return [*data_of_shape(kind.cls)]
    return list(_PLAIN.get(type(kind), ["x"]))


_PLAIN: dict[type[inspect.Type], list[object]] = {
    inspect.StrType: [*_TEXTS],
    inspect.IntType: [*_NUMBERS],
    inspect.FloatType: [1.5, 0.0, -1e300],
    inspect.BoolType: [True, False],
    inspect.DecimalType: [*_DECIMALS],
    inspect.DateType: [*_DATES],
    inspect.DateTimeType: [*_INSTANTS],
    inspect.TimeType: ["12:00:00"],
    inspect.UUIDType: ["00000000-0000-4000-8000-000000000000"],
    inspect.NoneType: [None],
    inspect.AnyType: ["x", None, 1],
}


def _of_union(kind: inspect.UnionType) -> list[object]:
    """Something before nothing: None is an edge, not the usual case."""
    some = [value for one in kind.types if not isinstance(one, inspect.NoneType) for value in _edges(one)]
    return [*some, None] if kind.includes_none else some


def masked(value: object) -> object:
    """The same shape with nothing of what it said: letters, digits, days and large numbers are others."""
    if isinstance(value, dict):
        return {key: masked(one) for key, one in value.items()}
    if isinstance(value, list):
        return [masked(one) for one in value]
    if isinstance(value, str):
        return _masked_text(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 100:
        return int("9" * len(str(abs(value)))) * (1 if value > 0 else -1)
    return value


def _masked_text(text: str) -> str:
    for kind, day in ((dt.date, "2000-01-01"), (dt.datetime, "2000-01-01T00:00:00Z")):
        try:
            kind.fromisoformat(text)
        except ValueError:
            continue
        return day
    try:
        Decimal(text)
    except ArithmeticError:
        return "".join(
            "X" if one.isupper() else "x" if one.isalpha() else "9" if one.isdigit() else one for one in text
        )
    return "".join("9" if one.isdigit() else one for one in text)
