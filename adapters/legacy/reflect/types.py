"""Column types of any SQLAlchemy dialect as the few kinds that a project tells apart."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import types
from sqlalchemy.dialects import mysql, postgresql

from toolkit.starting.facts import Kind

_WHOLE_DIGITS = 18
_OPAQUE = (
    types.LargeBinary,
    types.JSON,
    types._Binary,
    postgresql.TSVECTOR,
    postgresql.TSQUERY,
    postgresql.HSTORE,
    postgresql.BIT,
    mysql.BIT,
)
_WORD = re.compile(r"'((?:[^']|'')*)'")
_NUMBERS = re.compile(r"\bIN\s*\(\s*((?:-?\d+\s*,\s*)*-?\d+)\s*\)", re.IGNORECASE)
_ARRAY_OF_NUMBERS = re.compile(r"ARRAY\[\s*((?:-?\d+\s*,\s*)*-?\d+)\s*\]")


def kind_of(type_: Any, dialect: str) -> Kind:
    """What the values of a column of this type are."""
    if isinstance(type_, postgresql.DOMAIN):
        return kind_of(type_.data_type, dialect)
    if isinstance(type_, types.ARRAY):
        return Kind.LIST if kind_of(type_.item_type, dialect) is Kind.TEXT else Kind.OTHER
    if isinstance(type_, types.NullType):
        return Kind.TEXT if dialect == "sqlite" else Kind.OTHER
    if isinstance(type_, _OPAQUE) or "RANGE" in type(type_).__name__.upper():
        return Kind.OTHER
    return _number(type_) or _time(type_) or Kind.TEXT


def _number(type_: Any) -> Kind | None:
    if isinstance(type_, types.Boolean) or (
        isinstance(type_, mysql.TINYINT) and getattr(type_, "display_width", None) == 1
    ):
        return Kind.BOOLEAN
    if isinstance(type_, types.Integer | mysql.YEAR):
        return Kind.INTEGER
    if isinstance(type_, types.Numeric | types.Float):
        places, digits = getattr(type_, "scale", None), getattr(type_, "precision", None)
        whole = places == 0 and digits is not None and digits <= _WHOLE_DIGITS
        return Kind.INTEGER if whole and not isinstance(type_, types.Float) else Kind.DECIMAL
    return None


def _time(type_: Any) -> Kind | None:
    if isinstance(type_, types.DateTime):
        return Kind.INSTANT if getattr(type_, "timezone", False) else Kind.LOCAL
    return Kind.DATE if isinstance(type_, types.Date) else None


def is_fixed(type_: Any) -> bool:
    """Is text of this type padded to its length?"""
    return isinstance(type_, types.CHAR | types.NCHAR)


def is_long(type_: Any) -> bool:
    """May a value be a whole document?"""
    return isinstance(type_, types.String) and not isinstance(type_, types.Enum) and type_.length is None


def words_of(type_: Any) -> tuple[str, ...]:
    """The values that an ENUM declares."""
    if isinstance(type_, postgresql.DOMAIN):
        return words_of(type_.data_type)
    return tuple(str(one) for one in getattr(type_, "enums", None) or ())


def checked_words(check: str, columns: list[str]) -> dict[str, tuple[str, ...]]:
    """The values that a CHECK over a single column allows, where it lists them."""
    outside = _WORD.sub("''", check)
    spoken = [
        name for name in columns if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", outside, re.IGNORECASE)
    ]
    if len(spoken) != 1 or not re.search(r"\bIN\s*\(|= ANY", outside, re.IGNORECASE):
        return {}
    if re.search(r"\b(AND|OR|NOT)\b", outside, re.IGNORECASE):
        return {}
    texts = tuple(one.replace("''", "'") for one in _WORD.findall(check))
    numbers = _NUMBERS.search(check) or _ARRAY_OF_NUMBERS.search(check)
    listed = texts or (tuple(one.strip() for one in numbers.group(1).split(",")) if numbers else ())
    return {spoken[0]: listed} if listed else {}
