"""What PostgreSQL knows of its tables: names as they are spelt, columns, keys, and how subjects compare."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import msgspec
from sqlalchemy import Connection, TextClause, text

from adapters.legacy.images import Captured
from adapters.legacy.subjects import SubjectOrder, condition
from toolkit.core.errors import UsageError
from toolkit.ports import CapturedTable

_FOLDER = Path(__file__).parent / "sql"
_TEXTS = frozenset({"bpchar", "varchar", "text", "name"})
_WHOLE = frozenset({"int2", "int4", "int8"})


class SubjectType(msgspec.Struct, frozen=True, kw_only=True):
    """The type of a subject column."""

    type: str
    kind: str
    collation: str | None


def statement(name: str) -> str:
    """The statement in `sql/<name>.postgresql.sql`."""
    return (_FOLDER / f"{name}.postgresql.sql").read_text(encoding="utf-8").strip()


@cache
def query(name: str) -> TextClause:
    """The same, to be executed with parameters."""
    return text(statement(name))


def find_table(connection: Connection, source: str, wanted: CapturedTable) -> Captured:
    """The table as PostgreSQL spells it. Raises UsageError when it, its subject or a key is missing."""
    where = f"legacy source {source}, table {wanted.table}"
    rows = connection.execute(query("columns"), {"names": [wanted.table.lower()]}).all()
    found = {row.oid: f"{row.schema}.{row.name}" for row in rows}
    if not found:
        raise UsageError(
            f"{where}: there is no such table on the search path; write schema.table if it is elsewhere"
        )
    if len(found) > 1:
        raise UsageError(f"{where}: the name fits {', '.join(found.values())}: rename, or write schema.table")
    columns = tuple(row.column for row in rows)
    subject = next((one for one in columns if one.upper() == wanted.subject.upper()), None)
    if subject is None:
        raise UsageError(f"{where}: there is no column {wanted.subject}; there are {', '.join(columns)}")
    keys = tuple(connection.scalars(query("keys"), {"oid": rows[0].oid}))
    if not keys:
        raise UsageError(
            f"{where}: no primary key and no unique index over columns that are NOT NULL, so that a row found by "
            "backfill has no name of its own; give the table one, or leave it out"
        )
    return Captured(
        table=wanted.table.upper(),
        relation=f"{quoted(rows[0].schema)}.{quoted(rows[0].name)}",
        subject=subject,
        outbox=wanted.outbox,
        keys=keys,
        columns=columns,
    )


def type_of(connection: Connection, table: Captured) -> SubjectType:
    """The type of a captured table's subject column."""
    name = ".".join(part.replace('""', '"') for part in table.relation[1:-1].split('"."')).lower()
    rows = connection.execute(query("columns"), {"names": [name]})
    for row in rows:
        if row.column == table.subject:
            return SubjectType(type=row.type, kind=row.kind, collation=row.collation)
    raise UsageError(f"{table.relation} has no column {table.subject} any more: install capture anew")


def quoted(name: str) -> str:
    """A name as SQL spells it."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: str) -> str:
    """A text as SQL spells it, under standard_conforming_strings."""
    return "'" + value.replace("'", "''") + "'"


def postgres_order(tables: Sequence[Captured], types: Sequence[SubjectType]) -> SubjectOrder:
    """The order of the subjects' common type; as text where the tables' types differ."""
    kinds = {one.kind for one in types}
    known = {table.table: one for table, one in zip(tables, types, strict=True)}
    if kinds <= _TEXTS:
        return _Texts(tables[0], known, types[0].collation or '"C"')
    if kinds <= _WHOLE:
        return _Values(tables[0], "bigint")
    if len(kinds) == 1:
        return _Values(tables[0], types[0].type)
    return _Texts(tables[0], known, '"C"')


class _Values:
    """Subjects of one type that is not text: compared as that type, found by its index."""

    def __init__(self, first: Captured, type_: str) -> None:
        self._first, self._type = first, type_

    def first(self, *, low: bool) -> str:
        column = _column(self._first)
        above = f"{column} > {self._cast(':low')}" if low else ""
        where = condition(f"{column} IS NOT NULL", above)
        return (
            f"SELECT rtrim(to_jsonb({column}) #>> '{{}}') FROM {self._first.relation} t"
            f" WHERE {where} ORDER BY {column} LIMIT :size"
        )

    def left(self, *, low: bool) -> str:
        where = self.rows(self._first, low=low, high=False)
        return f"SELECT count(*) FROM {self._first.relation} t WHERE {where}"

    def rows(self, table: Captured, *, low: bool, high: bool) -> str:
        return self._range(_column(table), low, high)

    def near(self, table: Captured, *, low: bool, high: bool) -> str:  # noqa: ARG002 - `rows` is the index's own
        return ""

    def changes(self, *, low: bool, high: bool) -> str:
        return self._range(self._cast("nullif(c.subject, '')"), low, high)

    def established(self, low: str) -> str:
        subject = self._cast("nullif(c.subject, '')")
        return f"coalesce({subject} <= {self._cast(low)}, false)"

    def _range(self, value: str, low: bool, high: bool) -> str:
        above = f"{value} > {self._cast(':low')}" if low else ""
        if high:
            return condition(above, f"{value} <= {self._cast(':high')}")
        return f"({above} OR {value} IS NULL)" if low else "true"

    def _cast(self, value: str) -> str:
        return f"CAST({value} AS {self._type})"


class _Texts:
    """Subjects are text, compared without padding and by the first table's collation.

    Two tables may pad the same subject differently, and keep it in different types of text. The rows between two subjects
    are found by the column's index, then compared exactly.
    """

    def __init__(self, first: Captured, types: dict[str, SubjectType], collation: str) -> None:
        self._first, self._types, self._collation = first, types, collation

    def first(self, *, low: bool) -> str:
        column = _column(self._first)
        subject = self._subject(self._first)
        where = condition(
            f"{subject} <> ''",
            self.near(self._first, low=low, high=False),
            f"{subject} > :low" if low else "",
        )
        by = f"{column} COLLATE {self._collation}" if self._is_text(self._first) else subject
        return f"SELECT {subject} FROM {self._first.relation} t WHERE {where} ORDER BY {by} LIMIT :size"

    def left(self, *, low: bool) -> str:
        where = self.rows(self._first, low=low, high=False)
        return f"SELECT count(*) FROM {self._first.relation} t WHERE {where}"

    def rows(self, table: Captured, *, low: bool, high: bool) -> str:
        return self._range(self._subject(table), low, high)

    def changes(self, *, low: bool, high: bool) -> str:
        return self._range(f"c.subject COLLATE {self._collation}", low, high)

    def established(self, low: str) -> str:
        return f"(c.subject <> '' AND c.subject COLLATE {self._collation} <= CAST({low} AS text))"

    def _range(self, subject: str, low: bool, high: bool) -> str:
        above = f"{subject} > :low" if low else ""
        if high:
            return condition(f"{subject} <> ''", above, f"{subject} <= :high")
        return f"({above} OR coalesce({subject}, '') = '')" if low else "true"

    def near(self, table: Captured, *, low: bool, high: bool) -> str:
        if not self._is_text(table):
            return ""
        column = f"{_column(table)} COLLATE {self._collation}"
        bpchar = self._types[table.table].kind == "bpchar"
        cast = "CAST({} AS bpchar)" if bpchar else "CAST({} AS text)"
        # Any padding of a subject sorts from the bare subject to the one with very much padding.
        upto = "CAST(:high AS text)" if bpchar else "CAST(:high AS text) || repeat(' ', 256)"
        return condition(
            f"{column} >= {cast.format(':low')}" if low else "",
            f"{column} <= {cast.format(upto)}" if high else "",
        )

    def _is_text(self, table: Captured) -> bool:
        return self._types[table.table].kind in _TEXTS

    def _subject(self, table: Captured) -> str:
        column = _column(table)
        shown = f"{column}::text" if self._is_text(table) else f"to_jsonb({column}) #>> '{{}}'"
        return f"rtrim({shown}) COLLATE {self._collation}"


def _column(table: Captured) -> str:
    return f"t.{quoted(table.subject)}"
