"""What PostgreSQL knows of its tables: names as they are spelt, columns, keys, and how subjects compare."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial

import msgspec
from sqlalchemy import Connection, Row

from adapters.legacy.images import Captured, Shape
from adapters.legacy.joined import JoinedSubjects, Part, Searched, Spelling, TypedPart
from adapters.legacy.namesakes import Search
from adapters.legacy.subjects import OneColumn, SubjectOrder, TypedSubjects, condition, text_range
from adapters.legacy.wanted import check_key, spelt
from adapters.statements import Statements
from toolkit.core.errors import UsageError
from toolkit.ports import CapturedTable

_SQL = Statements(__file__)
statement, query = _SQL.statement, _SQL.query
_TEXTS = frozenset({"bpchar", "varchar", "text", "name"})
_WHOLE = frozenset({"int2", "int4", "int8"})


SPELLING = Spelling(
    join=" || '/' || ".join, split=lambda text, at: f"split_part({text}, '/', {at + 1})", rows=True
)


class SubjectType(msgspec.Struct, frozen=True, kw_only=True):
    """The type of a subject column."""

    type: str
    kind: str
    collation: str | None


def array_text(numbers: Iterable[int]) -> str:
    """Thousands of whole numbers as one parameter: the driver would go through them one by one, twice."""
    return "{" + ",".join(map(str, numbers)) + "}"


def consecutive(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """The stretches of numbers that follow each other, each by its first and its last one."""
    held = sorted(set(numbers))
    if not held or held[-1] - held[0] < len(held):
        return [(held[0], held[-1])] if held else []
    found: list[tuple[int, int]] = []
    first = last = held[0]
    for number in held:
        if number > last + 1:
            found.append((first, last))
            first = number
        last = number
    return [*found, (first, last)]


def find_table(connection: Connection, source: str, wanted: CapturedTable) -> Captured:
    """The table as PostgreSQL spells it. Raises UsageError when it cannot be captured, or not as it is wanted."""
    where = f"legacy source {source}, table {wanted.table}"
    rows = connection.execute(query("columns"), {"names": [wanted.table.lower()]}).all()
    found = {row.oid: f"{row.schema}.{row.name}" for row in rows}
    if not found:
        raise UsageError(
            f"{where}: there is no such table on the search path; write schema.table if it is elsewhere"
        )
    if len(found) > 1:
        raise UsageError(f"{where}: the name fits {', '.join(found.values())}: rename, or write schema.table")
    oid = rows[0].oid
    state = connection.execute(query("table"), {"oid": oid}).one()
    if faults := list(_faults(state, wanted)):
        raise UsageError("\n".join(f"{where}: {fault}" for fault in faults))
    table = spelt(
        wanted, where, f"{quoted(rows[0].schema)}.{quoted(rows[0].name)}", shape_of(connection, oid)
    )
    if not table.enforced:
        check_key(connection, where, table, quoted)
    return table


def shape_of(connection: Connection, oid: int) -> Shape:
    """What a table is like now."""
    columns = connection.execute(query("shape"), {"oid": oid})
    return Shape(
        columns={row.column: row.type for row in columns},
        key=tuple(connection.scalars(query("keys"), {"oid": oid})),
        partitions=tuple(connection.execute(query("table"), {"oid": oid}).one().partitions),
    )


def _faults(state: Row[tuple[object, ...]], wanted: CapturedTable) -> Iterator[str]:
    """Why such a table is not captured, or not by statement."""
    if kind := _NOT_TABLES.get(str(state.kind)):
        yield f"is {kind}"
    if state.persistence == "t":
        yield "is a temporary table, which no other session sees"
    if state.inherited:
        yield "other tables inherit from it, and what is written to them fires none of its triggers: capture them instead"
    if state.row_security and not wanted.outbox:
        yield "row security hides rows from this role, so that TRUNCATE would fail: give the role BYPASSRLS, or take the owner"
    if state.deferrable and not state.keyed and not wanted.key:
        yield (
            "its key is deferrable: two rows may hold the same key for a while, and no change tells which of them it "
            "means; make it NOT DEFERRABLE, or name the columns that identify a row ([legacy.NAME.table.T] key)"
        )
    if wanted.statement:
        for reason, so in _BY_ROW.items():
            if getattr(state, reason):
                yield f"statement = true is not possible: {so}; leave it out"


_NOT_TABLES = {
    "f": "a foreign table: what others write to its origin fires no trigger here; capture it there",
    "v": "a view: no row is written to it; capture the tables beneath",
    "m": "a materialised view: no row is written to it; capture the tables beneath",
}
_BY_ROW = {
    "partitioned": "a statement that names a partition fires no trigger of the partitioned table",
    "inherits": "a statement that names the parent fires no trigger of the table",
    "subscribed": "a subscription writes its rows, and logical replication fires row triggers only",
}


def types_of(connection: Connection, table: Captured) -> list[SubjectType]:
    """The types of a captured table's subject columns."""
    name = ".".join(part.replace('""', '"') for part in table.relation[1:-1].split('"."')).lower()
    rows = {row.column: row for row in connection.execute(query("columns"), {"names": [name]})}
    for column in table.subjects:
        if column not in rows:
            raise UsageError(f"{table.relation} has no column {column} any more: install capture anew")
    found = [rows[column] for column in table.subjects]
    return [SubjectType(type=row.type, kind=row.kind, collation=row.collation) for row in found]


def quoted(name: str) -> str:
    """A name as SQL spells it."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: str) -> str:
    """A text as SQL spells it, under standard_conforming_strings."""
    return "'" + value.replace("'", "''") + "'"


def postgres_order(tables: Sequence[Captured], columns: Sequence[Sequence[SubjectType]]) -> SubjectOrder:
    """The order of the subjects' common type; as text where the tables' types differ. Column by column where it has several."""
    if len(tables[0].subjects) > 1:
        count = len(tables[0].subjects)
        return JoinedSubjects(
            tables[0], [_part(tables, [one[at] for one in columns], at) for at in range(count)], SPELLING
        )
    types = [one[0] for one in columns]
    kinds = {one.kind for one in types}
    known = {table.table: one for table, one in zip(tables, types, strict=True)}
    if kinds <= _TEXTS:
        return _Texts(tables[0], known, types[0].collation or '"C"')
    if kinds <= _WHOLE:
        return TypedSubjects(tables[0], "bigint", _column, _shown)
    if len(kinds) == 1:
        return TypedSubjects(tables[0], types[0].type, _column, _shown)
    return _Texts(tables[0], known, '"C"')


def search_of(connection: Connection, table: Captured) -> Search | None:
    """How rows are found by their key with any padding; a CHAR has all it can have, and is compared without."""
    if types_of(connection, table)[0].kind not in ("varchar", "text"):
        return None
    asked = {"relation": table.relation, "column": table.subjects[0]}
    if not connection.scalar(query("indexed"), asked):
        return None
    column = _column(table)
    # One look-up by the index for each: a join might read the table whole. A collation may sort others in between.
    near = (
        "SELECT k.key FROM unnest(CAST(:subjects AS text[])) AS s(subject) CROSS JOIN LATERAL"
        f" (SELECT {column}::text AS key FROM {table.relation} t"
        f" WHERE {column} >= s.subject AND {column} <= s.subject || repeat(' ', 256)"
        f" ORDER BY {column} LIMIT 8) AS k WHERE rtrim(k.key) = s.subject"
    )
    return Search(
        padded=f"SELECT x.k FROM (SELECT {column}::text AS k FROM {table.relation} t ORDER BY {column} DESC LIMIT :rows) x"
        " WHERE x.k LIKE '% ' LIMIT :most",
        near=lambda subjects: (near, {"subjects": list(subjects)}),
    )


def _part(tables: Sequence[Captured], types: Sequence[SubjectType], at: int) -> Part:
    kinds = {one.kind for one in types}
    known = {table.table: one for table, one in zip(tables, types, strict=True)}
    if kinds <= _WHOLE:
        return TypedPart("bigint", partial(_column, at=at), _shown)
    if len(kinds) == 1 and not kinds <= _TEXTS:
        return TypedPart(types[0].type, partial(_column, at=at), _shown)
    return _TextPart(at, known, (types[0].collation if kinds <= _TEXTS else None) or '"C"')


class _TextPart:
    """One column of text, compared without padding and by the first table's collation. A `Part`."""

    def __init__(self, at: int, types: dict[str, SubjectType], collation: str) -> None:
        self._at, self._types, self._collation = at, types, collation

    def value(self, table: Captured) -> str:
        return f"({self.text(table)} COLLATE {self._collation})"

    def comparable(self, table: Captured) -> str:
        return f"coalesce({self.text(table)}, '') <> ''"

    def text(self, table: Captured) -> str:
        column = _column(table, self._at)
        is_text = self._types[table.table].kind in _TEXTS
        return f"rtrim({column}::text)" if is_text else _shown(column)

    def given(self, parameter: str) -> str:
        return f"CAST({parameter} AS text)"

    def read(self, text: str) -> str:
        return f"({text} COLLATE {self._collation})"

    def readable(self, text: str) -> str:
        return f"{text} <> ''"

    def searched(self, table: Captured) -> Searched | None:
        kind = self._types[table.table].kind
        if kind not in _TEXTS:
            return None
        column = f"({_column(table, self._at)} COLLATE {self._collation})"
        if kind == "bpchar":  # compared without padding
            return Searched(column=column, lowest="CAST({} AS bpchar)".format)
        upto = "CAST({} AS text) || repeat(' ', 256)"
        return Searched(column=column, lowest=self.given, highest=upto.format)


class _Texts(OneColumn):
    """Subjects are text, compared without padding and by the first table's collation.

    Two tables may pad the same subject differently, and keep it in different types of text. The rows between two subjects
    are found by the column's index, then compared exactly.
    """

    def __init__(self, first: Captured, types: dict[str, SubjectType], collation: str) -> None:
        super().__init__(first)
        self._types, self._collation = types, collation

    def edge(self, table: Captured, *, low: bool, high: bool) -> str:
        column, subject = _column(table), self._subject(table)
        where = condition(
            f"{subject} <> ''",
            self.near(table, low=low, high=high),
            f"{subject} > :low" if low else "",
            f"{subject} <= :high" if high else "",
        )
        by = f"{column} COLLATE {self._collation}" if self._is_text(table) else subject
        return f"SELECT {subject} FROM {table.relation} t WHERE {where} ORDER BY {by} LIMIT 1 OFFSET :skip"

    def rows(self, table: Captured, *, low: bool, high: bool) -> str:
        return text_range(self._subject(table), ":low" if low else "", ":high" if high else "")

    def changes(self, *, low: bool, high: bool) -> str:
        subject = f"c.subject COLLATE {self._collation}"
        return text_range(subject, ":low" if low else "", ":high" if high else "")

    def established(self, low: str) -> str:
        return f"(c.subject <> '' AND c.subject COLLATE {self._collation} <= CAST({low} AS text))"

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


def _column(table: Captured, at: int = 0) -> str:
    return f"t.{quoted(table.subjects[at])}"


def _shown(column: str) -> str:
    return f"rtrim(to_jsonb({column}) #>> '{{}}')"
