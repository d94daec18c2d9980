"""The columns of a read model: their types, and the normal form of their values."""

from __future__ import annotations

import datetime as dt
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal

from toolkit.core import values
from toolkit.core.errors import Fault


class ColumnType(StrEnum):
    """The types that a read model's column may have, on every engine."""

    TEXT = "text"
    INTEGER = "integer"
    DECIMAL = "decimal"
    BOOLEAN = "boolean"
    DATE = "date"
    INSTANT = "instant"
    JSON = "json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a read model. `vocabulary` are the only values it may hold, when it is a Literal."""

    name: str
    type: ColumnType
    nullable: bool
    vocabulary: tuple[str, ...] = ()

    def normal(self, value: object) -> object:
        """The value as every store gives it back. Raises ValueError when it is not one of this column's type."""
        return None if value is None else NORMAL[self.type](value)


NORMAL: Mapping[ColumnType, Callable[[object], object]] = {
    ColumnType.TEXT: values.text,
    ColumnType.INTEGER: values.integer,
    ColumnType.DECIMAL: values.decimal,
    ColumnType.BOOLEAN: values.boolean,
    ColumnType.DATE: values.date,
    ColumnType.INSTANT: values.instant,
    ColumnType.JSON: values.json,
}


KEY_TYPES = (ColumnType.TEXT, ColumnType.INTEGER, ColumnType.DATE, ColumnType.INSTANT)
"""What sorts and compares alike in Python and in every store."""


def from_text(column: Column, text: str) -> object:
    """The value of a key's column that people and bookkeeping write as text. Raises ValueError when it is none."""
    match column.type:
        case ColumnType.INTEGER:
            return column.normal(int(text))
        case ColumnType.DATE:
            return column.normal(dt.date.fromisoformat(text))
        case ColumnType.INSTANT:
            return column.normal(dt.datetime.fromisoformat(text))
        case _:
            return column.normal(text)


_TYPES: Mapping[object, ColumnType] = {
    str: ColumnType.TEXT,
    int: ColumnType.INTEGER,
    Decimal: ColumnType.DECIMAL,
    bool: ColumnType.BOOLEAN,
    dt.date: ColumnType.DATE,
    dt.datetime: ColumnType.INSTANT,
}


def column_of(cls: type, field: str, hint: object, faults: list[Fault]) -> Column:
    """The column of a field by its type hint; what cannot be one is added to the faults."""
    nullable, bare = without_none(hint)
    vocabulary: tuple[str, ...] = ()
    if typing.get_origin(bare) is Literal:
        vocabulary = tuple(str(value) for value in typing.get_args(bare))
        bare = str
    elif isinstance(bare, type) and issubclass(bare, StrEnum):
        vocabulary = tuple(member.value for member in bare)
        bare = str
    elif typing.get_origin(bare) in (list, dict) or bare in (list, dict):
        return Column(name=field, type=ColumnType.JSON, nullable=nullable)
    column_type = _TYPES.get(bare)
    if column_type is None:
        faults.append(
            Fault(
                where=f"projection {cls.__name__}.{field}",
                what=f"{hint} is not a column type",
                next="use str, int, Decimal, bool, date, datetime, Literal, StrEnum, list or dict; not float",
            )
        )
        column_type = ColumnType.TEXT
    return Column(name=field, type=column_type, nullable=nullable, vocabulary=vocabulary)


def without_none(hint: object) -> tuple[bool, Any]:
    """Whether a type hint allows None, and the hint without it."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        arguments = [one for one in typing.get_args(hint) if one is not type(None)]
        if len(arguments) == 1 and len(arguments) < len(typing.get_args(hint)):
            return True, arguments[0]
    return False, hint
