"""Values of MariaDB and MySQL as JSON: SQL expressions that triggers and backfill share, whatever session they run in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from adapters.legacy.joined import Spelling

_WHOLE = frozenset({"tinyint", "smallint", "mediumint", "int", "bigint"})
_NUMBERS = _WHOLE | {"decimal", "float", "double"}
_BITS = frozenset({"bit", "year"})
_BYTES = frozenset(
    {"binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob", "geometry", "point", "linestring"}
    | {"polygon", "multipoint", "multilinestring", "multipolygon", "geometrycollection", "geomcollection"}
)
_AS_IT_IS: Mapping[str, str | None] = {}
_TEXTS = frozenset({"char", "varchar", "tinytext", "text", "mediumtext", "longtext"})


def _split(text: str, at: int) -> str:
    return f"substring_index(substring_index({text}, '/', {at + 1}), '/', -1)"


SPELLING = Spelling(join=lambda texts: f"concat({', '.join(_between(texts))})", split=_split, rows=False)


def _between(texts: Sequence[str]) -> list[str]:
    return [part for at, one in enumerate(texts) for part in (["'/'", one] if at else [one])]


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """A column, as far as its values' text depends on it."""

    name: str
    kind: str
    type: str
    extra: str = ""
    charset: str | None = None
    collation: str | None = None
    fraction: int = 0
    scale: int = 0

    @property
    def whole(self) -> bool:
        """Is it a number, and compared as a whole one or with a fixed number of places?"""
        return self.kind in _WHOLE or self.kind == "decimal"

    @property
    def textual(self) -> bool:
        """Is it text, with a character set and a collation?"""
        return self.kind in _TEXTS and self.charset is not None


def quoted(name: str) -> str:
    """A name as SQL spells it."""
    return "`" + name.replace("`", "``") + "`"


def literal(value: str) -> str:
    """A text as SQL spells it, under NO_BACKSLASH_ESCAPES."""
    return "'" + value.replace("'", "''") + "'"


def text_of(row: str, column: Column) -> str:
    """The value as text, NULL where it is NULL. Neither depends on the session's time zone, mode or character set."""
    value = f"{row}.{quoted(column.name)}"
    if column.kind in _BYTES:
        return f"hex({value})"
    if column.kind in _BITS:
        value = f"({value} + 0)"
    if column.kind == "timestamp":
        return _instant(value, column.fraction)
    shown = f"convert({value} USING utf8mb4)"
    if column.kind == "datetime":
        # A date that is none stays the text that it is.
        return f"if({shown} LIKE '0000-00-00%', {shown}, replace({shown}, ' ', 'T'))"
    if column.kind in _NUMBERS and "zerofill" in column.type:
        return f"regexp_replace({shown}, '^0+(?=[0-9])', '')"
    return shown


def json_of(row: str, column: Column) -> str:
    """The value as JSON. A number is checked: a column that became text later must not make the whole row unreadable."""
    shown = text_of(row, column)
    if column.kind in _NUMBERS | _BITS:
        return f"coalesce(if(json_valid({shown}), {shown}, json_quote({shown})), 'null')"
    return f"coalesce(json_quote({shown}), 'null')"


def pieces(row: str, columns: Sequence[Column], given: Mapping[str, str | None] = _AS_IT_IS) -> list[str]:
    """For each column, what it adds to the row's JSON: a comma, its name, its value.

    `given` are columns that have another value: that of this column of the row NEW, or NULL.
    """
    made = []
    for column in columns:
        key = msgspec.json.encode(column.name).decode()
        value = json_of(row, column)
        if column.name in given:
            other = given[column.name]
            value = "'null'" if other is None else json_of("NEW", msgspec.structs.replace(column, name=other))
        made.append(f"{literal(',' + key + ':')}, {value}")
    return made


def image(row: str, columns: Sequence[Column], given: Mapping[str, str | None] = _AS_IT_IS) -> str:
    """The JSON of a row."""
    return f"concat('{{', substring(concat({', '.join(pieces(row, columns, given))}), 2), '}}')"


def subject(row: str, columns: Sequence[Column], given: Mapping[str, str | None] = _AS_IT_IS) -> str:
    """The subject of a row as text without padding; a row without one has the empty subject."""
    texts = []
    for column in columns:
        value = text_of(row, column)
        if column.name in given:
            other = given[column.name]
            value = "''" if other is None else text_of("NEW", msgspec.structs.replace(column, name=other))
        texts.append(f"rtrim({value})")
    return f"coalesce({texts[0]}, '')" if len(texts) == 1 else SPELLING.subject(texts)


def _instant(value: str, fraction: int) -> str:
    # Counted from the epoch: a local time is ambiguous in the hour in which clocks are put back.
    at = f"date_add('1970-01-01 00:00:00', INTERVAL unix_timestamp({value}) SECOND)"
    digits = 19 + (fraction + 1 if fraction else 0)
    shown = f"concat(left(date_format({at}, '%Y-%m-%dT%H:%i:%s.%f'), {digits}), '+00:00')"
    return f"if({value} = 0, convert({value} USING utf8mb4), {shown})"
