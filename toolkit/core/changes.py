"""What the legacy source did: one row at a time, and where in its history."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from enum import StrEnum

import msgspec

Row = Mapping[str, object]
"""Column name (upper case, whatever the engine folds it to) to value, in JSON types: strings as
stored (padding kept), whole numbers as int, other numbers as Decimal, dates and instants as ISO text."""


class Op(StrEnum):
    """What happened to the row. `snapshot` is a row found by backfill, not a thing that happened."""

    INSERT = "insert"
    UPDATE = "update"
    DELETE = "delete"
    SNAPSHOT = "snapshot"


class Change(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One legacy row change, as capture saw it.

    `position` names the place in the source's history and never changes: captured again, translated
    again, the same change has the same position, which is what makes event ids deterministic.
    `number` orders captured changes of one source (0 for snapshot rows, which have no order among them).
    `key` names the columns that identify the row, where capture knows them.
    `unknown` are columns whose value capture could not learn, each with the reason. They are in neither image, so that
    nothing is taken for their value. `fault` says why nothing of the change can be trusted: it is parked.
    `beside` are keys of other rows that were there when this happened, and that have the same subject: they differ from
    this row's in nothing but blanks at their end.
    """

    source: str
    table: str
    op: Op
    subject: str
    position: str
    captured_at: dt.datetime
    before: dict[str, object] | None = None
    after: dict[str, object] | None = None
    transaction: str | None = None
    number: int = 0
    key: tuple[str, ...] = ()
    unknown: dict[str, str] = {}
    fault: str = ""
    beside: tuple[str, ...] = ()

    @property
    def row(self) -> Row:
        """The row after the change, or its last state when it was deleted."""
        return self.after if self.after is not None else (self.before or {})

    def __getitem__(self, column: str) -> object:
        """Value of `column` in `row`; a column the row does not have is a KeyError naming the table."""
        try:
            return (self.after if self.after is not None else self.row)[column]
        except KeyError:
            if why := self.unknown.get(column):
                raise KeyError(f"{self.table}.{column} is not known: {why}") from None
            raise KeyError(
                f"{self.table} has no column {column}: it was dropped or renamed, or capture leaves it out"
            ) from None

    def text(self, column: str) -> str:
        """The column as text without its padding; NULL is the empty string."""
        value = self[column]
        return "" if value is None else str(value).rstrip()

    def changed(self, *columns: str) -> bool:
        """Did any of the columns get another value (an insert or a snapshot changes every one)?

        A column that the row does not have is a KeyError: to say that it did not change would hide that nobody knows. One
        that capture could not learn was not touched: that is why the log left its value out.
        """
        before, after = self.before, self.after
        if before is None or after is None:
            return True
        return any(before.get(name) != self[name] for name in columns if name not in self.unknown)

    def became(self, column: str, value: object) -> bool:
        """Has `column` this value now, and had it another before (or no row at all)?"""
        return self.after is not None and self[column] == value and self.changed(column)
