"""MariaDB as a read store.

A DECIMAL is stored as exact text, because MariaDB's own has the same places in every row. Reads see it as DECIMAL(65,30).

MariaDB commits before and after each change of a table or a view, and has no temporary views. So a read does not go
through the view, which is there for other readers: it begins with the serving version's rows under the projection's
name (`WITH name AS (...)`), and a switch is the one UPDATE that says which version serves.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from operator import itemgetter
from typing import Any, cast

import msgspec
from sqlalchemy import Connection, Engine, Table, event
from sqlalchemy.dialects.mysql import insert
from sqlalchemy.exc import DataError, DBAPIError, InternalError, ProgrammingError

from adapters.engines import open_engine
from adapters.read_store.layout import Dialect, Layout, Named, quoted
from adapters.read_store.queries import query
from toolkit.core import values
from toolkit.core.columns import ColumnType
from toolkit.core.errors import Infrastructure, UsageError

LONGEST_INDEX = 768
"""Characters of four bytes that an index may hold: so many have the texts of a key together."""
LOAD = 1_000
"""Keys that are asked for at once."""
PATIENCE = 10
"""Seconds that a switch waits for another one, and for reads that are running."""

_TEXT = "CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin"
_MODE = "ANSI_QUOTES,STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION"
_JSON_LENGTH = 4 * (2**24 - 1)
_DECIMAL = "varchar(255)"
"""Text of just this length is a decimal's: no text of a key has it, whatever number of columns the key has."""

_NO_SUCH_TABLE = 1146
_TOO_LONG = 1969
_READ_ONLY = 1792
_NO_TABLE_NOW = 1412
"""The table was altered, or made anew, since the read's snapshot was taken."""


def _json_text(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _naive(value: object) -> dt.datetime:
    assert isinstance(value, dt.datetime)
    return value.astimezone(dt.UTC).replace(tzinfo=None)


def _aware(value: object) -> object:
    return value.replace(tzinfo=dt.UTC) if isinstance(value, dt.datetime) else value


def _keys(columns: Sequence[tuple[str, str]]) -> str:
    names = ", ".join(name for name, _ in columns)
    return f"{names} IN %s" if len(columns) == 1 else f"({names}) IN %s"


def _after(names: Sequence[str]) -> str:
    """That a row comes after a key: spelled out, because a comparison of rows makes no use of an index."""
    if len(names) == 1:
        return f"{names[0]} > %s"
    return f"({names[0]} > %s OR ({names[0]} = %s AND ({_after(names[1:])})))"


def _after_values(values: Sequence[object]) -> tuple[object, ...]:
    if len(values) == 1:
        return tuple(values)
    return (values[0], values[0], *_after_values(values[1:]))


class MariadbRows:
    """MariaDB's answers to what the read store asks."""

    dialect = Dialect(
        types={
            ColumnType.TEXT: "longtext",
            ColumnType.INTEGER: "bigint(20)",
            ColumnType.DECIMAL: _DECIMAL,
            ColumnType.BOOLEAN: "tinyint(1)",
            ColumnType.DATE: "date",
            ColumnType.INSTANT: "datetime(6)",
            ColumnType.JSON: "mediumtext",
        },
        key_text=lambda count: f"varchar({LONGEST_INDEX // count})",
        table_options=f"ENGINE=InnoDB DEFAULT {_TEXT}",
        index_lengths={ColumnType.TEXT: 191, ColumnType.JSON: 191},
        placeholder="%s",
        keys=_keys,
        listed_keys=lambda keys: ([key if len(key) > 1 else key[0] for key in keys],),
        after=_after,
        after_values=_after_values,
        in_place=lambda _key, others, first: (
            "ON DUPLICATE KEY UPDATE "
            + (", ".join(f"{name} = VALUES({name})" for name in others) or f"{first} = {first}")
        ),
        encoders={
            ColumnType.DECIMAL: str,
            ColumnType.INSTANT: _naive,
            ColumnType.JSON: _json_text,
        },
        decoders={
            ColumnType.DECIMAL: lambda stored: Decimal(str(stored)),
            ColumnType.BOOLEAN: bool,
            ColumnType.INSTANT: _aware,
            ColumnType.JSON: lambda stored: msgspec.json.decode(str(stored)),
        },
    )

    def open(self, url: str) -> Engine:
        """Open the database; identifiers are quoted as in standard SQL, and no value is cut to fit."""
        engine = open_engine(url, connect_args={"sql_mode": _MODE})

        @event.listens_for(engine, "connect")
        def configure(connection: Any, _record: object) -> None:
            cursor = connection.cursor()
            cursor.execute("SELECT version()")
            if "mariadb" not in str(cursor.fetchone()[0]).lower():
                raise UsageError("read_store.url: a MySQL server cannot be a read store: use MariaDB")
            # A recursive read that is cut off after so many rounds would be a wrong answer; its time is limited.
            cursor.execute(
                f"SET SESSION lock_wait_timeout = {PATIENCE}, max_recursive_iterations = {2**32 - 1}"
            )
            cursor.close()

        return engine

    def put(
        self,
        connection: Connection,
        table: Table,
        rows: Sequence[Mapping[str, object]],
        replaced: Sequence[str],
    ) -> None:
        """INSERT; of a row that is there, replace these columns."""
        statement = insert(table)
        changed = {column: statement.inserted[column] for column in replaced}
        connection.execute(statement.on_duplicate_key_update(changed), list(rows))

    @contextmanager
    def alone(self, connection: Connection, projection: str) -> Iterator[None]:
        """A lock by name, which the commits of CREATE and DROP do not end."""
        name = f"strangler {projection}"[:64]
        if connection.exec_driver_sql("SELECT GET_LOCK(%s, %s)", (name, PATIENCE)).scalar() != 1:
            raise Infrastructure(
                f"read store: another process is at work on the versions of {projection}; again in a while"
            )
        end = "ROLLBACK"
        try:
            yield
            end = "COMMIT"  # before the next one begins
        finally:
            if not connection.invalidated:
                connection.exec_driver_sql(end)
                connection.exec_driver_sql("DO RELEASE_LOCK(%s)", (name,))

    def columns(self, connection: Connection, table: str) -> list[tuple[str, str]]:
        """Name and declared type of each column."""
        found = connection.execute(query("columns.mariadb"), {"table": table})
        return [(row.name, row.type) for row in found]

    def load(
        self, connection: Connection, layout: Named, keys: Sequence[object]
    ) -> Iterable[Sequence[object]]:
        """The rows with these keys."""
        for start in range(0, len(keys), LOAD):
            some = layout.keys(keys[start : start + LOAD])
            yield from connection.exec_driver_sql(layout.load, some)

    def add(self, connection: Connection, layout: Layout, rows: Sequence[Mapping[str, object]]) -> None:
        """Write rows: whether they are there makes no difference here."""
        self.upsert(connection, layout, rows)

    def upsert(self, connection: Connection, layout: Layout, rows: Sequence[Mapping[str, object]]) -> None:
        """Write rows, in the order of their keys; the driver makes one INSERT of many."""
        encode, key = layout.encode, itemgetter(*layout.key)
        connection.exec_driver_sql(layout.upsert, [encode(row) for row in sorted(rows, key=key)])

    def doubled(self, _error: Exception) -> bool:
        """Never: `add` takes either."""
        return False

    def delete(self, connection: Connection, layout: Layout, keys: Sequence[object]) -> None:
        """Delete rows."""
        for start in range(0, len(keys), LOAD):
            connection.exec_driver_sql(layout.delete, layout.keys(keys[start : start + LOAD]))

    def shown(self, name: str, declared: str) -> str:
        """Decimals as numbers, the rest as it is stored."""
        column = quoted(name)
        return f"CAST({column} AS DECIMAL(65,30)) AS {column}" if declared == _DECIMAL else column

    def replace_view(self, connection: Connection, name: str, select: str) -> None:
        """In one step, with the grants that the view had."""
        connection.exec_driver_sql(f"CREATE OR REPLACE VIEW {quoted(name)} AS {select}")

    def hold(self, _connection: Connection, _views: Sequence[str], _timeout: dt.timedelta) -> None:
        """The snapshot covers which version serves, and the read goes to its table."""

    def shows(self, connection: Connection, view: str, table: str) -> bool:
        """Somebody may have died between the mark that a version serves and the view."""
        definition = connection.execute(query("view.mariadb"), {"view": view}).scalar()
        return definition is not None and f"`{table}`" in str(definition)

    def meaning(
        self,
        _connection: Connection,
        sql: str,
        tables: Mapping[str, str],
        _chosen: Collection[str],
        select: Callable[[str], str],
    ) -> str:
        """The read with the rows that it asks for in front of it."""
        rows = ", ".join(f"{quoted(name)} AS ({select(table)})" for name, table in tables.items())
        if not rows:
            return sql
        begun = _WITH.match(sql)
        if begun is None:
            return f"WITH {rows} {sql}"
        return f"{begun['before']}WITH {begun['recursive'] or ''} {rows}, {sql[begun.end() :]}"

    @contextmanager
    def limited(self, connection: Connection, timeout: dt.timedelta) -> Iterator[None]:
        """The transaction is read-only; the server watches the clock."""
        seconds = max(timeout.total_seconds(), 0.001)
        connection.exec_driver_sql(f"SET SESSION max_statement_time = {seconds:.6f}")
        try:
            yield
        finally:
            if not connection.invalidated:
                connection.exec_driver_sql("SET SESSION max_statement_time = 0")

    def parameter(self, value: object) -> object:
        """As the columns it is compared with are stored; of an enum's member the driver would send the name."""
        if isinstance(value, dt.datetime):
            return _naive(values.in_utc(value))
        return str.__str__(value) if isinstance(value, str) else value

    def answered(self, description: Sequence[Any], row: Sequence[object]) -> Sequence[object]:
        """The values of a read's row; what a column was declared as is told by what the server says of it."""
        return [
            _answer(value, described[1], described[3])
            for value, described in zip(row, description, strict=True)
        ]

    def timed_out(self, error: DBAPIError) -> bool:
        """Did the server cancel it?"""
        return _code(error) == _TOO_LONG

    def missing_table(self, error: DBAPIError) -> bool:
        """Is it about a table or view that is not there?"""
        return _code(error) in (_NO_SUCH_TABLE, _NO_TABLE_NOW)

    def faulty_sql(self, error: DBAPIError) -> bool:
        """A statement or a value that the server refuses."""
        refused = isinstance(error, (ProgrammingError, DataError, InternalError))
        return refused or _code(error) in _FAULTY


_WITH = re.compile(
    r"(?P<before>(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/)*)WITH\b(?P<recursive>\s+RECURSIVE\b)?",
    re.IGNORECASE | re.DOTALL,
)
_FAULTY = (1054, 1064, 1052, 1055, 1109, 1140, 1305, 1366, _READ_ONLY)
_TINY, _DATETIME, _BLOB = 1, 12, 252


def _answer(value: object, kind: int, length: int) -> object:
    if value is None:
        return None
    if kind == _TINY:
        return bool(value)
    if kind == _DATETIME:
        return _aware(value)
    if kind == _BLOB and length == _JSON_LENGTH and isinstance(value, str):
        return cast(object, msgspec.json.decode(value))
    return value


def _code(error: DBAPIError) -> int:
    arguments = getattr(error.orig, "args", ())
    return int(arguments[0]) if arguments and isinstance(arguments[0], int) else 0
