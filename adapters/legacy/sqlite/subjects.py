"""How SQLite compares subjects: see `adapters.legacy.subjects.SubjectOrder`, which this implements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from adapters.legacy.images import Captured
from adapters.legacy.joined import JoinedSubjects, Part, Searched
from adapters.legacy.namesakes import Search
from adapters.legacy.sqlite.tables import SPELLING, Affinity, quoted
from adapters.legacy.subjects import OneColumn, SubjectOrder, condition, text_range

_PADDED = {
    "BINARY": ("{0} COLLATE BINARY >= {1}", "{0} COLLATE BINARY < {1} || '!'"),  # '!' follows the space
    "RTRIM": ("{0} COLLATE RTRIM > {1}", "{0} COLLATE RTRIM <= {1}"),
}
"""What an index of this collation can find: every padding of the subjects above, or up to, a subject."""
_PADDING = "{} || '" + " " * 256 + "'"


def sqlite_order(tables: Sequence[Captured], columns: Sequence[Sequence[Affinity]]) -> SubjectOrder:
    """As numbers when every table keeps its subject as a number, else as text; column by column where it has several."""
    if len(tables[0].subjects) > 1:
        parts = [_part(tables, [one[at] for one in columns], at) for at in range(len(tables[0].subjects))]
        return JoinedSubjects(tables[0], parts, SPELLING)
    affinities = [one[0] for one in columns]
    if all(affinity.numeric for affinity in affinities):
        return _Numbers(tables[0])
    known = {table.table: affinity for table, affinity in zip(tables, affinities, strict=True)}
    return _Texts(tables[0], known)


def search_of(table: Captured, affinity: Affinity) -> Search | None:
    """How rows are found by their key with any padding; SQLite pads no type, but may be told to compare without."""
    if not affinity.text or affinity.collation != "BINARY":
        return None
    column = _column(table)
    near = (
        f"SELECT {column} FROM json_each(:subjects) s CROSS JOIN {table.relation} t"
        f" WHERE {column} >= s.value AND {column} < s.value || '!' AND rtrim({column}) = s.value"
    )
    return Search(
        padded=f"SELECT x.k FROM (SELECT {column} AS k FROM {table.relation} t ORDER BY {column} DESC LIMIT :rows) x"
        " WHERE x.k LIKE '% ' LIMIT :most",
        near=lambda subjects: (near, {"subjects": msgspec.json.encode(subjects).decode()}),
    )


def _part(tables: Sequence[Captured], affinities: Sequence[Affinity], at: int) -> Part:
    if all(affinity.numeric for affinity in affinities):
        return _NumberPart(at)
    return _TextPart(at, {table.table: one for table, one in zip(tables, affinities, strict=True)})


class _NumberPart:
    """One column of numbers. A `Part`."""

    def __init__(self, at: int) -> None:
        self._at = at

    def value(self, table: Captured) -> str:
        return _column(table, self._at)

    def comparable(self, table: Captured) -> str:
        return _is_number(_column(table, self._at))

    def text(self, table: Captured) -> str:
        return f"CAST({_column(table, self._at)} AS TEXT)"

    def given(self, parameter: str) -> str:
        return f"CAST({parameter} AS NUMERIC)"

    def read(self, text: str) -> str:
        return f"CAST({text} AS NUMERIC)"

    def readable(self, text: str) -> str:
        return f"CAST(CAST({text} AS NUMERIC) AS TEXT) = {text}"

    def searched(self, table: Captured) -> Searched | None:
        # A value with a type of its own would keep SQLite from comparing two columns at once by an index.
        return Searched(column=_column(table, self._at), lowest="+CAST({} AS NUMERIC)".format)


class _TextPart:
    """One column of text, byte by byte and without padding. A `Part`."""

    def __init__(self, at: int, affinities: Mapping[str, Affinity]) -> None:
        self._at, self._affinities = at, affinities

    def value(self, table: Captured) -> str:
        return f"rtrim({_column(table, self._at)})"

    def comparable(self, table: Captured) -> str:
        return f"coalesce({self.value(table)}, '') <> ''"

    def text(self, table: Captured) -> str:
        return f"rtrim(CAST({_column(table, self._at)} AS TEXT))"

    def given(self, parameter: str) -> str:
        return parameter

    def read(self, text: str) -> str:
        return text

    def readable(self, text: str) -> str:
        return f"{text} <> ''"

    def searched(self, table: Captured) -> Searched | None:
        affinity = self._affinities[table.table]
        if not affinity.text or affinity.collation not in _PADDED:
            return None
        column, collated = _column(table, self._at), f"{{}} COLLATE {affinity.collation}"
        upto = None if affinity.collation == "RTRIM" else collated.format(f"({_PADDING})").format
        order = collated.format(column)
        return Searched(column=column, lowest=collated.format, highest=upto, order=order)


class _Numbers(OneColumn):
    """Subjects are numbers. What else SQLite let into such a column comes last."""

    _number = "CAST(c.subject AS NUMERIC)"
    _comparable = f"CAST({_number} AS TEXT) = c.subject"

    def edge(self, table: Captured, *, low: bool, high: bool) -> str:
        column = _column(table)
        where = condition(
            _is_number(column),
            f"{column} > CAST(:low AS NUMERIC)" if low else "",
            f"{column} <= CAST(:high AS NUMERIC)" if high else "",
        )
        return (
            f"SELECT CAST({column} AS TEXT) FROM {table.relation} t"
            f" WHERE {where} ORDER BY {column} LIMIT 1 OFFSET :skip"
        )

    def rows(self, table: Captured, *, low: bool, high: bool) -> str:
        column = _column(table)
        return self._range(column, _is_number(column), low, high)

    def near(self, table: Captured, *, low: bool, high: bool) -> str:  # noqa: ARG002 - `rows` is the index's own
        return ""

    def changes(self, *, low: bool, high: bool) -> str:
        return self._range(self._number, self._comparable, low, high)

    def established(self, low: str) -> str:
        return f"({self._comparable} AND {self._number} <= CAST({low} AS NUMERIC))"

    def _range(self, number: str, comparable: str, low: bool, high: bool) -> str:
        above = f"{number} > CAST(:low AS NUMERIC)" if low else ""
        if high:
            return condition(comparable, above, f"{number} <= CAST(:high AS NUMERIC)")
        return f"({above} OR NOT ({comparable}))" if low else "1"


class _Texts(OneColumn):
    """Subjects are text, compared without padding and byte by byte, whatever the columns' collations.

    Two tables may pad the same subject differently. The rows between two subjects are found by the column's index,
    where its collation allows that, and then compared exactly.
    """

    def __init__(self, first: Captured, affinities: Mapping[str, Affinity]) -> None:
        super().__init__(first)
        self._affinities = affinities

    def edge(self, table: Captured, *, low: bool, high: bool) -> str:
        column, affinity = _column(table), self._affinities[table.table]
        subject = f"rtrim({column})"
        where = condition(
            f"{subject} <> ''",
            self.near(table, low=low, high=high),
            f"{subject} > :low" if low else "",
            f"{subject} <= :high" if high else "",
        )
        by = f"{column} COLLATE {affinity.collation}" if self._indexed(affinity) else subject
        return f"SELECT {subject} FROM {table.relation} t WHERE {where} ORDER BY {by} LIMIT 1 OFFSET :skip"

    def rows(self, table: Captured, *, low: bool, high: bool) -> str:
        return text_range(f"rtrim({_column(table)})", ":low" if low else "", ":high" if high else "")

    def changes(self, *, low: bool, high: bool) -> str:
        return text_range("c.subject", ":low" if low else "", ":high" if high else "")

    def established(self, low: str) -> str:
        return f"(c.subject <> '' AND c.subject <= {low})"

    def near(self, table: Captured, *, low: bool, high: bool) -> str:
        affinity = self._affinities[table.table]
        if not self._indexed(affinity):
            return ""
        above, upto = _PADDED[str(affinity.collation)]
        column = _column(table)
        return condition(
            above.format(column, ":low") if low else "", upto.format(column, ":high") if high else ""
        )

    def _indexed(self, affinity: Affinity) -> bool:
        return affinity.text and affinity.collation in _PADDED


def _column(table: Captured, at: int = 0) -> str:
    return f"t.{quoted(table.subjects[at])}"


def _is_number(column: str) -> str:
    return f"typeof({column}) IN ('integer', 'real')"
