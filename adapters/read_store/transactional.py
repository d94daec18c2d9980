"""What engines have in common whose CREATE and DROP are part of the transaction, and whose INSERT knows ON CONFLICT."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table

from adapters.read_store.layout import Layout, quoted


class TransactionalRows(ABC):
    """Base of the answers of such an engine to what the read store asks."""

    @abstractmethod
    def insert(self, table: Table) -> Any:
        """SQLAlchemy's INSERT of this engine."""

    @abstractmethod
    def columns(self, connection: Connection, table: str) -> list[tuple[str, str]]:
        """Name and declared type of each column."""

    def put(
        self,
        connection: Connection,
        table: Table,
        rows: Sequence[Mapping[str, object]],
        replaced: Sequence[str],
    ) -> None:
        """INSERT; of a row that is there, replace these columns."""
        statement = self.insert(table)
        changed = {column: statement.excluded[column] for column in replaced}
        key = table.primary_key.columns
        connection.execute(statement.on_conflict_do_update(index_elements=key, set_=changed), list(rows))

    def delete(self, connection: Connection, layout: Layout, keys: Sequence[object]) -> None:
        """Delete rows."""
        connection.exec_driver_sql(layout.delete, layout.keys(keys))

    def shows(self, connection: Connection, view: str, _table: str) -> bool:
        """A view is made in one transaction with the mark that a version serves, so any is the right one."""
        return bool(self.columns(connection, view))

    def meaning(
        self,
        connection: Connection,
        sql: str,
        tables: Mapping[str, str],
        chosen: Collection[str],
        select: Callable[[str], str],
    ) -> str:
        """A temporary view, whose schema is searched first, hides the view of its name until the transaction ends."""
        for name in chosen:
            connection.exec_driver_sql(f"CREATE TEMP VIEW {quoted(name)} AS {select(tables[name])}")
        return sql

    def answered(self, _description: Sequence[Any], row: Sequence[object]) -> Sequence[object]:
        """The driver knows the types."""
        return row
