"""How SQLite compares subjects: see `adapters.legacy.subjects.SubjectOrder`, which this implements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from adapters.legacy.images import Captured
from adapters.legacy.sqlite_tables import Affinity, quoted
from adapters.legacy.subjects import SubjectOrder, condition

_PADDED = {
    "BINARY": ("{0} COLLATE BINARY >= {1}", "{0} COLLATE BINARY < {1} || '!'"),  # '!' follows the space
    "RTRIM": ("{0} COLLATE RTRIM > {1}", "{0} COLLATE RTRIM <= {1}"),
}
"""What an index of this collation can find: every padding of the subjects above, or up to, a subject."""


def sqlite_order(tables: Sequence[Captured], affinities: Sequence[Affinity]) -> SubjectOrder:
    """As numbers when every table keeps its subject as a number, else as text."""
    if all(affinity.numeric for affinity in affinities):
        return _Numbers(tables[0])
    known = {table.table: affinity for table, affinity in zip(tables, affinities, strict=True)}
    return _Texts(tables[0], known)


class _Numbers:
    """Subjects are numbers. What else SQLite let into such a column comes last."""

    _number = "CAST(c.subject AS NUMERIC)"
    _comparable = f"CAST({_number} AS TEXT) = c.subject"

    def __init__(self, first: Captured) -> None:
        self._first = first

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

    def left(self, *, low: bool) -> str:
        where = self.rows(self._first, low=low, high=False)
        return f"SELECT 1 FROM {self._first.relation} t WHERE {where}"

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


class _Texts:
    """Subjects are text, compared without padding and byte by byte, whatever the columns' collations.

    Two tables may pad the same subject differently. The rows between two subjects are found by the column's index,
    where its collation allows that, and then compared exactly.
    """

    def __init__(self, first: Captured, affinities: Mapping[str, Affinity]) -> None:
        self._first, self._affinities = first, affinities

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

    def left(self, *, low: bool) -> str:
        where = self.rows(self._first, low=low, high=False)
        return f"SELECT 1 FROM {self._first.relation} t WHERE {where}"

    def rows(self, table: Captured, *, low: bool, high: bool) -> str:
        return _text_range(f"rtrim({_column(table)})", low, high)

    def changes(self, *, low: bool, high: bool) -> str:
        return _text_range("c.subject", low, high)

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


def _column(table: Captured) -> str:
    return f"t.{quoted(table.subject)}"


def _is_number(column: str) -> str:
    return f"typeof({column}) IN ('integer', 'real')"


def _text_range(subject: str, low: bool, high: bool) -> str:
    above = f"{subject} > :low" if low else ""
    if high:
        return condition(f"{subject} <> ''", above, f"{subject} <= :high")
    return f"({above} OR coalesce({subject}, '') = '')" if low else "1"
