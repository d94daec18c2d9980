"""How MariaDB and MySQL compare subjects: see `adapters.legacy.subjects.SubjectOrder`, which this implements."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from adapters.legacy.images import Captured
from adapters.legacy.joined import JoinedSubjects, Part, Searched, TypedPart
from adapters.legacy.mariadb.tables import Table
from adapters.legacy.mariadb.values import SPELLING, Column, quoted, text_of
from adapters.legacy.namesakes import Search
from adapters.legacy.subjects import OneColumn, SubjectOrder, TypedSubjects, condition, text_range

_EXACT = ("utf8mb4", "utf8mb4_bin")


def mariadb_order(tables: Sequence[Table]) -> SubjectOrder:
    """As numbers when every table keeps its subject as one, else as text in the order of the first table's collation.

    Column by column where it has several.
    """
    first = tables[0].captured
    if len(first.subjects) > 1:
        return JoinedSubjects(first, [_part(tables, at) for at in range(len(first.subjects))], SPELLING)
    known = {table.captured.table: table.subjects[0] for table in tables}
    if all(column.whole for column in known.values()):
        number = f"DECIMAL(65,{max(column.scale for column in known.values())})"
        return TypedSubjects(tables[0].captured, number, _column, "convert({} USING utf8mb4)".format)
    return _Texts(tables[0].captured, known)


def search_of(table: Table) -> Search | None:
    """How rows are found by their key with any padding; a CHAR has none, and most collations compare without."""
    captured, subject = table.captured, table.subjects[0]
    charset, collation = _collation(subject)
    if not captured.enforced or not subject.textual or subject.kind == "char" or _pads(charset, collation):
        return None
    column = _column(captured)

    def near(subjects: Sequence[str]) -> tuple[str, dict[str, object]]:
        low, high = (
            f"CONVERT(:{{}} USING {charset})",
            f"CONVERT(concat(:{{}}, repeat(' ', 256)) USING {charset})",
        )
        ranges = [
            f"({column} >= {low.format(f's{at}')} COLLATE {collation} AND {column} <= {high.format(f's{at}')} COLLATE {collation})"
            for at in range(len(subjects))
        ]
        sql = f"SELECT {text_of('t', subject)} FROM {captured.relation} t WHERE {' OR '.join(ranges)}"
        return sql, {f"s{at}": one for at, one in enumerate(subjects)}

    return Search(
        padded=f"SELECT x.k FROM (SELECT {text_of('t', subject)} AS k FROM {captured.relation} t ORDER BY {column} DESC"
        " LIMIT :rows) x WHERE x.k LIKE '% ' LIMIT :most",
        near=near,
    )


def _part(tables: Sequence[Table], at: int) -> Part:
    known = {table.captured.table: table.subjects[at] for table in tables}
    if all(column.whole for column in known.values()):
        number = f"DECIMAL(65,{max(column.scale for column in known.values())})"
        return TypedPart(number, partial(_column, at=at), "convert({} USING utf8mb4)".format)
    return _TextPart(at, tables[0].captured, known)


class _TextPart:
    """One column of text, by the collation of the first table's. A `Part`."""

    def __init__(self, at: int, first: Captured, columns: dict[str, Column]) -> None:
        self._at, self._columns = at, columns
        self._charset, self._collation = _collation(columns[first.table])

    def value(self, table: Captured) -> str:
        found = self.searched(table)
        return found.column if found is not None and found.highest is None else self.given(self.text(table))

    def comparable(self, table: Captured) -> str:
        return f"coalesce({self.text(table)}, '') <> ''"

    def text(self, table: Captured) -> str:
        return f"rtrim({text_of('t', self._columns[table.table])})"

    def given(self, parameter: str) -> str:
        return f"CONVERT({parameter} USING {self._charset}) COLLATE {self._collation}"

    def read(self, text: str) -> str:
        return self.given(text)

    def readable(self, text: str) -> str:
        return f"{text} <> ''"

    def searched(self, table: Captured) -> Searched | None:
        if self._columns[table.table].collation != self._collation:
            return None
        upto = None if _pads(self._charset, self._collation) else self._upto
        return Searched(column=_column(table, self._at), lowest=self.given, highest=upto)

    def _upto(self, parameter: str) -> str:
        return self.given(f"concat({parameter}, repeat(' ', 256))")


def _collation(column: Column) -> tuple[str, str]:
    """Character set and collation by which the texts of a column are compared."""
    if not column.textual or column.charset is None or column.collation is None:
        return _EXACT
    return column.charset, column.collation


def _pads(charset: str, collation: str) -> bool:
    """Does the collation itself pay no heed to padding?"""
    return not any(mark in collation for mark in ("nopad", "_0900_")) and charset != "binary"


class _Texts(OneColumn):
    """Subjects are text without padding, compared by the collation of the first table's column.

    Subjects that this collation takes for equal ('a' and 'A') stay together, in the rows and in the changes alike. A
    column of this very collation is searched by its index.
    """

    def __init__(self, first: Captured, columns: dict[str, Column]) -> None:
        super().__init__(first)
        self._columns = columns
        self._charset, self._collation = _collation(columns[first.table])

    def edge(self, table: Captured, *, low: bool, high: bool) -> str:
        value = self._value(table)
        near = self.near(table, low=low, high=high)
        above = f"{value} > {self._as_ours(':low')}" if low else ""
        upto = f"{value} <= {self._as_ours(':high')}" if high else ""
        where = condition(f"{value} <> ''", near, above, upto)
        by = _column(table) if self._searched(table) else value
        return (
            f"SELECT rtrim({self._text(table)}) FROM {table.relation} t"
            f" WHERE {where} ORDER BY {by} LIMIT 1 OFFSET :skip"
        )

    def rows(self, table: Captured, *, low: bool, high: bool) -> str:
        return self._range(self._value(table), low, high)

    def near(self, table: Captured, *, low: bool, high: bool) -> str:
        if not self._searched(table) or self._pads:
            return ""
        # Any padding of a subject sorts from the bare subject to the one with very much padding.
        column, upto = _column(table), self._as_ours("concat(:high, repeat(' ', 256))")
        return condition(
            f"{column} >= {self._as_ours(':low')}" if low else "",
            f"{column} <= {upto}" if high else "",
        )

    def changes(self, *, low: bool, high: bool) -> str:
        return self._range(self._as_ours("c.subject"), low, high)

    def established(self, low: str) -> str:
        subject = self._as_ours("c.subject")
        return f"({subject} <> '' AND {subject} <= {self._as_ours(low)})"

    @property
    def _pads(self) -> bool:
        return _pads(self._charset, self._collation)

    def _searched(self, table: Captured) -> bool:
        return self._columns[table.table].collation == self._collation

    def _value(self, table: Captured) -> str:
        if self._searched(table) and self._pads:
            return _column(table)
        return self._as_ours(f"rtrim({self._text(table)})")

    def _text(self, table: Captured) -> str:
        return text_of("t", self._columns[table.table])

    def _as_ours(self, value: str) -> str:
        return f"CONVERT({value} USING {self._charset}) COLLATE {self._collation}"

    def _range(self, value: str, low: bool, high: bool) -> str:
        return text_range(value, self._as_ours(":low") if low else "", self._as_ours(":high") if high else "")


def _column(table: Captured, at: int = 0) -> str:
    return f"t.{quoted(table.subjects[at])}"
