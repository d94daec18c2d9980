"""What the read store asks of a database engine; `sqlite`, `postgresql` and `mariadb` answer."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from decimal import Decimal
from typing import Any, Protocol

from sqlalchemy import Connection, Engine, Table
from sqlalchemy.exc import DBAPIError

from adapters.read_store.layout import Dialect, Layout, Named
from toolkit.core import values


class EngineOfRows(Protocol):
    """The parts of the read store that differ between engines."""

    dialect: Dialect

    def open(self, url: str) -> Engine: ...

    def put(
        self,
        connection: Connection,
        table: Table,
        rows: Sequence[Mapping[str, object]],
        replaced: Sequence[str],
    ) -> None:
        """INSERT rows (all with the same columns); of one whose key is there, replace these columns."""

    def alone(self, connection: Connection, projection: str, /) -> AbstractContextManager[None]:
        """Wait until nobody else creates, switches or drops versions of this projection, until the end."""

    def columns(self, connection: Connection, table: str) -> list[tuple[str, str]]:
        """Name and declared type of a table's columns, in order; empty when there is no such table."""

    def load(
        self, connection: Connection, layout: Named, keys: Sequence[object]
    ) -> Iterable[Sequence[object]]:
        """The rows with these keys."""

    def add(self, connection: Connection, layout: Layout, rows: Sequence[Mapping[str, object]]) -> None:
        """Write rows whose keys the table does not have."""

    def upsert(self, connection: Connection, layout: Layout, rows: Sequence[Mapping[str, object]]) -> None:
        """Write rows, in the place of those with their keys."""

    def doubled(self, error: Exception) -> bool:
        """Did `add` find a key that was there after all?"""

    def delete(self, connection: Connection, layout: Layout, keys: Sequence[object]) -> None: ...

    def shown(self, name: str, declared: str, /) -> str:
        """The expression by which a view shows a column."""

    def replace_view(self, connection: Connection, name: str, select: str) -> None:
        """Let the view be this SELECT, and let everybody who could read it go on reading it."""

    def hold(self, connection: Connection, views: Sequence[str], timeout: dt.timedelta, /) -> None:
        """Begin a read: from now until it ends, the views mean what they mean, and no statement takes longer."""

    def shows(self, connection: Connection, view: str, table: str, /) -> bool:
        """Is there a view, and is it one of this table?"""

    def meaning(
        self,
        connection: Connection,
        sql: str,
        tables: Mapping[str, str],
        chosen: Collection[str],
        select: Callable[[str], str],
        /,
    ) -> str:
        """The read, in which the projections' names mean the rows of these tables, for this connection alone.

        `chosen` are the projections of which another version is asked for than the one that serves. `select` says how
        a table is shown.
        """

    def answered(self, description: Sequence[Any], row: Sequence[object], /) -> Sequence[object]:
        """The values of a row of a read, each in the type of its column."""

    def limited(self, connection: Connection, timeout: dt.timedelta, /) -> AbstractContextManager[None]:
        """No statement within takes longer, and none writes."""

    def parameter(self, value: object) -> object:
        """A parameter of a read, as the columns it is compared with are stored."""

    def timed_out(self, error: DBAPIError) -> bool: ...

    def missing_table(self, error: DBAPIError) -> bool: ...

    def faulty_sql(self, error: DBAPIError) -> bool:
        """Is the statement itself wrong (and not the server away)?"""


def shown_value(value: object) -> object:
    """A value of a read's answer, in the same Python type on every engine."""
    if isinstance(value, float) and math.isfinite(value):
        return values.decimal(Decimal(f"{value:.15g}"))
    if isinstance(value, dt.datetime) and value.tzinfo is not None:
        return value.astimezone(dt.UTC)
    if isinstance(value, Decimal) and value.is_finite():
        return values.decimal(value)
    return value
