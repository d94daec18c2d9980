"""Ranges of subjects: one order for the rows of several tables and for the captured changes, the engine's own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Protocol

from adapters.legacy.images import Captured
from toolkit.ports import Cursor


class SubjectOrder(Protocol):
    """How the subjects of one group of tables are compared: SQL fragments over :low and :high.

    `given` makes the parameters of these bounds. :low is the last subject that is done (none: before all), :high the last one of the range (none: no bound). Both are
    subjects as changes spell them: text without padding. A subject that is not comparable (NULL, blank, text among
    numbers) belongs to the last range, which has no upper bound.
    """

    def given(self, bounds: Mapping[str, str | None]) -> dict[str, object]:
        """The parameters that say these subjects (by the names that the fragments have, without those that are none)."""

    def edge(self, table: Captured, *, low: bool, high: bool) -> str:
        """SELECT that passes by :skip rows of the range that have a comparable subject, and gives the next one's (as text)."""

    def left(self, *, low: bool) -> str:
        """SELECT that gives a row for each one of the first table that is still to be read: to be counted, or guessed."""

    def rows(self, table: Captured, *, low: bool, high: bool) -> str:
        """Condition on the rows (alias `t`) of a table that are in the range."""

    def near(self, table: Captured, *, low: bool, high: bool) -> str:
        """Condition that an index can answer and that no row in the range fails; empty where `rows` is one itself."""

    def changes(self, *, low: bool, high: bool) -> str:
        """Condition on captured changes (alias `c`) whose subject is in the range."""

    def established(self, low: str) -> str:
        """Condition on captured changes (alias `c`) whose subject is at most the parameter `low`."""


class OneColumn(ABC):
    """What subjects of one column have alike: a bound is one parameter."""

    def __init__(self, first: Captured) -> None:
        self._first = first

    def given(self, bounds: Mapping[str, str | None]) -> dict[str, object]:
        return {name: subject for name, subject in bounds.items() if subject is not None}

    @abstractmethod
    def rows(self, table: Captured, *, low: bool, high: bool) -> str: ...

    def left(self, *, low: bool) -> str:
        where = self.rows(self._first, low=low, high=False)
        return f"SELECT 1 FROM {self._first.relation} t WHERE {where}"


class TypedSubjects(OneColumn):
    """Subjects of one type that is not text: compared as that type, found by its index. A `SubjectOrder`.

    `column` spells a row's subject column, `shown` gives its value as the text that changes have.
    """

    def __init__(
        self,
        first: Captured,
        type_: str,
        column: Callable[[Captured], str],
        shown: Callable[[str], str],
    ) -> None:
        super().__init__(first)
        self._type, self._column, self._shown = type_, column, shown

    def edge(self, table: Captured, *, low: bool, high: bool) -> str:
        column = self._column(table)
        above = f"{column} > {self._cast(':low')}" if low else ""
        upto = f"{column} <= {self._cast(':high')}" if high else ""
        where = condition(f"{column} IS NOT NULL", above, upto)
        return (
            f"SELECT {self._shown(column)} FROM {table.relation} t"
            f" WHERE {where} ORDER BY {column} LIMIT 1 OFFSET :skip"
        )

    def rows(self, table: Captured, *, low: bool, high: bool) -> str:
        return self._range(self._column(table), low, high)

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


def beyond(order: SubjectOrder, at: int, cursor: Cursor) -> tuple[str, dict[str, object]]:
    """Condition that leaves out changes to the tables of an unfinished backfill while their subject is not done."""
    tables = {f"table{at}_{number}": table for number, table in enumerate(cursor.tables)}
    names = ", ".join(f":{name}" for name in tables)
    if cursor.after is None:
        return f"c.table_name NOT IN ({names})", dict(tables)
    low = f"low{at}"
    return (
        f"(c.table_name NOT IN ({names}) OR {order.established(':' + low)})",
        {**tables, **order.given({low: cursor.after})},
    )


def text_range(subject: str, low: str, high: str) -> str:
    """Condition that a text is above one bound, and at most another (each maybe empty). What is blank comes last."""
    above = f"{subject} > {low}" if low else ""
    if high:
        return condition(f"{subject} <> ''", above, f"{subject} <= {high}")
    return f"({above} OR coalesce({subject}, '') = '')" if low else "1 = 1"


def condition(*parts: str) -> str:
    """The parts that say anything, joined by AND; nothing when none does."""
    return " AND ".join(part for part in parts if part)
