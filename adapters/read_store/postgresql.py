"""PostgreSQL as a read store."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import msgspec
from sqlalchemy import Connection, Engine, Table
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DataError, DBAPIError, ProgrammingError

from adapters.engines import open_engine
from adapters.read_store.copying import Lines
from adapters.read_store.layout import Dialect, Layout, Named, quoted
from adapters.read_store.queries import query
from adapters.read_store.transactional import TransactionalRows
from toolkit.core import values
from toolkit.core.columns import ColumnType

COPY_FROM = 100
"""Rows from which COPY into a scratch table and one INSERT are faster than a statement for each row."""
SWITCH_PATIENCE = "5s"
"""How long a switch waits for reads that are running; all later reads wait behind it meanwhile."""

_UNDEFINED_TABLE = "42P01"
_UNIQUE_VIOLATION = "23505"
_QUERY_CANCELED = "57014"
_READ_ONLY = "25006"


def _json_text(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _keys(columns: Sequence[tuple[str, str]]) -> str:
    if len(columns) == 1:
        return f"{columns[0][0]} = ANY(%s)"
    names = ", ".join(name for name, _ in columns)
    arrays = ", ".join(f"%s::{type_}[]" for _, type_ in columns)
    return f"({names}) IN (SELECT * FROM unnest({arrays}))"


class PostgresRows(TransactionalRows):
    """PostgreSQL's answers to what the read store asks."""

    dialect = Dialect(
        types={
            ColumnType.TEXT: "text",
            ColumnType.INTEGER: "bigint",
            ColumnType.DECIMAL: "numeric",
            ColumnType.BOOLEAN: "boolean",
            ColumnType.DATE: "date",
            ColumnType.INSTANT: "timestamp with time zone",
            ColumnType.JSON: "jsonb",
        },
        # By code point, as Python and SQLite sort: two versions and two engines are compared in key order.
        collated='COLLATE "C"',
        key_text=lambda _count: "text",
        placeholder="%s",
        keys=_keys,
        listed_keys=lambda keys: tuple(list(column) for column in zip(*keys, strict=True)),
        encoders={ColumnType.JSON: _json_text},
        decoders={
            ColumnType.INSTANT: values.instant,
            ColumnType.JSON: cast(Callable[[object], object], values.json),
        },
    )

    def open(self, url: str) -> Engine:
        """Open the database."""
        return open_engine(url)

    def insert(self, table: Table) -> Any:
        """INSERT that knows ON CONFLICT."""
        return insert(table)

    @contextmanager
    def alone(self, connection: Connection, projection: str) -> Iterator[None]:
        """An advisory lock until the transaction ends."""
        connection.exec_driver_sql(
            "SELECT pg_advisory_xact_lock(hashtext(%s))", (f"strangler projection {projection}",)
        )
        yield

    def columns(self, connection: Connection, table: str) -> list[tuple[str, str]]:
        """Name and declared type of each column."""
        found = connection.execute(query("columns.postgresql"), {"table": quoted(table)})
        return [(row.name, row.type) for row in found]

    def load(
        self, connection: Connection, layout: Named, keys: Sequence[object]
    ) -> Iterable[Sequence[object]]:
        """The rows with these keys."""
        return connection.exec_driver_sql(layout.load, layout.keys(keys))

    def add(self, connection: Connection, layout: Layout, rows: Sequence[Mapping[str, object]]) -> None:
        """Write rows that are not there: COPY into the table itself."""
        self._copy(self._cursor(connection), quoted(layout.table), layout, rows)

    def upsert(self, connection: Connection, layout: Layout, rows: Sequence[Mapping[str, object]]) -> None:
        """Write rows: few as statements, many by COPY."""
        if len(rows) < COPY_FROM:
            connection.exec_driver_sql(layout.upsert, [layout.encode(row) for row in rows])
            return
        cursor = self._cursor(connection)
        scratch = self._scratch(cursor, layout)
        self._copy(cursor, scratch, layout, rows)
        cursor.execute(
            f"INSERT INTO {quoted(layout.table)} ({layout.listed}) "
            f"SELECT {layout.listed} FROM {scratch} {layout.in_place}"
        )

    def _cursor(self, connection: Connection) -> Any:
        return cast(Any, connection.connection.driver_connection).cursor()

    def _copy(self, cursor: Any, table: str, layout: Layout, rows: Sequence[Mapping[str, object]]) -> None:
        lines = Lines(layout.definition)
        with cursor.copy(f"COPY {table} ({lines.listed}) FROM STDIN") as copy:
            copy.write(lines.of(rows))

    def _scratch(self, cursor: Any, layout: Layout) -> str:
        """The session's own table for COPY, emptied by every commit; named by its columns, so never a stale one."""
        columns = ", ".join(f"{quoted(name)} {type_}" for name, type_ in layout.columns)
        name = quoted(
            "strangler_copy_" + hashlib.sha256(f"{layout.table} {columns}".encode()).hexdigest()[:16]
        )
        cursor.execute(f"CREATE TEMP TABLE IF NOT EXISTS {name} ({columns}) ON COMMIT DELETE ROWS")
        return f"pg_temp.{name}"

    def doubled(self, error: Exception) -> bool:
        """Did a row that was thought not to be there meet itself?"""
        return getattr(error, "sqlstate", None) == _UNIQUE_VIOLATION

    def shown(self, name: str, _declared: str) -> str:
        """As it is stored."""
        return quoted(name)

    def replace_view(self, connection: Connection, name: str, select: str) -> None:
        """Drop and create, with the grants that the view had."""
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{SWITCH_PATIENCE}'")
        grants = connection.execute(query("grants.postgresql"), {"view": quoted(name)}).all()
        connection.exec_driver_sql(f"DROP VIEW IF EXISTS {quoted(name)}")
        connection.exec_driver_sql(f"CREATE VIEW {quoted(name)} AS {select}")
        for grant in grants:
            option = " WITH GRANT OPTION" if grant.grantable else ""
            connection.exec_driver_sql(
                f"GRANT {grant.privilege} ON {quoted(name)} TO {grant.grantee}{option}"
            )

    def hold(self, connection: Connection, views: Sequence[str], timeout: dt.timedelta) -> None:
        """Lock the views before the snapshot is taken, or a switch in between would show the rows of one version
        with the checkpoints of another.
        """
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = {milliseconds(timeout)}")
        if views:
            names = ", ".join(map(quoted, views))
            connection.exec_driver_sql(f"LOCK TABLE {names} IN ACCESS SHARE MODE")

    @contextmanager
    def limited(self, connection: Connection, _timeout: dt.timedelta) -> Iterator[None]:
        """The time was limited when the read began."""
        connection.exec_driver_sql("SET TRANSACTION READ ONLY")
        yield

    def parameter(self, value: object) -> object:
        """The driver knows the types; of an enum's member it would send the name."""
        if isinstance(value, dt.datetime):
            return values.in_utc(value)
        return str.__str__(value) if isinstance(value, str) else value

    def timed_out(self, error: DBAPIError) -> bool:
        """Did the server cancel it?"""
        return _state(error) == _QUERY_CANCELED

    def missing_table(self, error: DBAPIError) -> bool:
        """Is it about a table or view that is not there?"""
        return _state(error) == _UNDEFINED_TABLE

    def faulty_sql(self, error: DBAPIError) -> bool:
        """A statement or a value that the server refuses."""
        return isinstance(error, (ProgrammingError, DataError)) or _state(error) == _READ_ONLY


def milliseconds(timeout: dt.timedelta) -> int:
    """For statement_timeout, where 0 would mean for ever."""
    return max(1, int(timeout.total_seconds() * 1000))


def _state(error: DBAPIError) -> str | None:
    return getattr(error.orig, "sqlstate", None)
