"""SQLite as a read store.

A DECIMAL is stored as exact text, because SQLite has no exact number with a fraction. The view shows it as
REAL, so that a read compares, sorts and computes as one expects; `sum` and `avg` are exact, and what a read
answers is a Decimal again. So a read sees 15 significant digits; load, rebuild and verify see them all.
"""

from __future__ import annotations

import datetime as dt
import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, cast

import msgspec
from sqlalchemy import Connection, Engine, Table, event
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from adapters.engines import open_engine
from adapters.read_store.layout import Dialect, Layout, Named, key_first, quoted, values_of
from adapters.read_store.transactional import TransactionalRows
from toolkit.core import values
from toolkit.core.columns import Column, ColumnType

STEPS_BETWEEN_LOOKS = 2_000
"""Virtual machine steps after which a running read looks at the clock: well below a millisecond."""


def _instant_text(value: object) -> str:
    assert isinstance(value, dt.datetime)
    return value.astimezone(dt.UTC).isoformat(timespec="microseconds")


def _json_text(value: object) -> str:
    return msgspec.json.encode(value).decode()


# The declared types say what a column holds; their endings give the affinity that the values are stored with.
# The driver finds these converters by them, also through a view. They are ours alone, so that a host
# application's own converters stay as they are.
_CONVERTERS: dict[str, Callable[[bytes], object]] = {
    "DECIMAL_TEXT": lambda stored: Decimal(stored.decode()),
    "BOOLEAN_INTEGER": lambda stored: stored == b"1",
    "DATE_TEXT": lambda stored: dt.date.fromisoformat(stored.decode()),
    "INSTANT_TEXT": lambda stored: dt.datetime.fromisoformat(stored.decode()),
    "JSON_TEXT": msgspec.json.decode,
}


class ExactSum:
    """`sum` for the connection: decimals that came as REAL are added as the decimals they were."""

    def __init__(self) -> None:
        self.total: int | Decimal = 0
        self.count = 0
        self.real = False

    def step(self, value: object) -> None:
        """Add a row."""
        if value is not None:
            self.total += self._number(value)
            self.count += 1

    def inverse(self, value: object) -> None:
        """Take out a row that left the window."""
        if value is not None:
            self.total -= self._number(value)
            self.count -= 1

    def value(self) -> int | float | None:
        """The sum so far."""
        if not self.count:
            return None
        return float(self.total) if self.real else int(self.total)

    def finalize(self) -> int | float | None:
        """The sum."""
        return self.value()

    def _number(self, value: object) -> int | Decimal:
        if isinstance(value, int):
            return value
        self.real = True
        try:
            return Decimal(repr(value)) if isinstance(value, float) else Decimal(str(value))
        except ArithmeticError:
            return Decimal(0)


class ExactAverage(ExactSum):
    """`avg` for the connection, from the exact sum."""

    def value(self) -> float | None:
        """The average so far."""
        return float(Decimal(self.total) / self.count) if self.count else None


def _keys(columns: Sequence[tuple[str, str]]) -> str:
    if len(columns) == 1:
        return f"{columns[0][0]} IN (SELECT value FROM json_each(?))"
    names = ", ".join(name for name, _ in columns)
    values = ", ".join(f"json_extract(value, '$[{at}]')" for at in range(len(columns)))
    return f"({names}) IN (SELECT {values} FROM json_each(?))"


_AS_TEXT: Mapping[ColumnType, Callable[[object], object]] = {
    ColumnType.INSTANT: _instant_text,
    ColumnType.JSON: _json_text,
}
"""What JSON would say otherwise than it is stored; decimals and dates are the same text there, truths the same number."""


def _upsert(layout: Layout, columns: Sequence[Column]) -> str:
    listed = ", ".join(quoted(column.name) for column in columns)
    values = ", ".join(f"json_extract(value, '$[{at}]')" for at in range(len(columns)))
    # Without the WHERE, the parser would take ON CONFLICT for the beginning of a join's condition.
    given = f"SELECT {values} FROM json_each(?) WHERE true"
    return f"INSERT INTO {quoted(layout.table)} ({listed}) {given} {layout.in_place}"


class SqliteRows(TransactionalRows):
    """SQLite's answers to what the read store asks."""

    dialect = Dialect(
        types={
            ColumnType.TEXT: "TEXT",
            ColumnType.INTEGER: "INTEGER",
            ColumnType.DECIMAL: "DECIMAL_TEXT",
            ColumnType.BOOLEAN: "BOOLEAN_INTEGER",
            ColumnType.DATE: "DATE_TEXT",
            ColumnType.INSTANT: "INSTANT_TEXT",
            ColumnType.JSON: "JSON_TEXT",
        },
        key_text=lambda _count: "TEXT",
        placeholder="?",
        keys=_keys,
        listed_keys=lambda keys: (json.dumps([key if len(key) > 1 else key[0] for key in keys]),),
        encoders={
            ColumnType.DECIMAL: str,
            ColumnType.BOOLEAN: lambda value: int(bool(value)),
            ColumnType.DATE: str,
            ColumnType.INSTANT: _instant_text,
            ColumnType.JSON: _json_text,
        },
        decoders={},
    )

    def open(self, url: str) -> Engine:
        """Open the file with our converters and aggregates."""
        for name, convert in _CONVERTERS.items():
            sqlite3.register_converter(name, convert)
        typed = make_url(url).update_query_dict({"detect_types": str(sqlite3.PARSE_DECLTYPES)})
        engine = open_engine(typed.render_as_string(hide_password=False))

        @event.listens_for(engine, "connect")
        def configure(connection: Any, _record: object) -> None:
            connection.create_window_function("sum", 1, ExactSum)
            connection.create_window_function("avg", 1, ExactAverage)

        return engine

    def insert(self, table: Table) -> Any:
        """INSERT that knows ON CONFLICT."""
        return insert(table)

    @contextmanager
    def alone(self, _connection: Connection, _projection: str) -> Iterator[None]:
        """The write transaction is alone already."""
        yield

    def columns(self, connection: Connection, table: str) -> list[tuple[str, str]]:
        """Name and declared type of each column."""
        found = connection.exec_driver_sql(f"PRAGMA main.table_info({quoted(table)})")
        return [(row[1], row[2]) for row in found]

    def load(
        self, connection: Connection, layout: Named, keys: Sequence[object]
    ) -> Iterable[Sequence[object]]:
        """The rows with these keys."""
        return connection.exec_driver_sql(layout.load, layout.keys(keys))

    def add(self, connection: Connection, layout: Layout, rows: Sequence[Mapping[str, object]]) -> None:
        """Write rows: whether they are there makes no difference here."""
        self.upsert(connection, layout, rows)

    def upsert(self, connection: Connection, layout: Layout, rows: Sequence[Mapping[str, object]]) -> None:
        """Write rows, in the order of their keys, by one statement.

        The interpreter is free while it runs. It would be taken and given back for every row of an executemany.
        """
        columns = key_first(layout.definition)
        values = sorted(map(values_of(columns), rows))
        for at, encode in [
            (at, _AS_TEXT[one.type]) for at, one in enumerate(columns) if one.type in _AS_TEXT
        ]:
            values = [
                (*one[:at], None if one[at] is None else encode(one[at]), *one[at + 1 :]) for one in values
            ]
        connection.exec_driver_sql(_upsert(layout, columns), (msgspec.json.encode(values).decode(),))

    def doubled(self, _error: Exception) -> bool:
        """Never: `add` takes either."""
        return False

    def shown(self, name: str, declared: str) -> str:
        """Decimals as numbers, the rest as it is stored."""
        column = quoted(name)
        return f"CAST({column} AS REAL) AS {column}" if declared == "DECIMAL_TEXT" else column

    def replace_view(self, connection: Connection, name: str, select: str) -> None:
        """Drop and create: nobody sees in between, because the transaction covers the schema."""
        connection.exec_driver_sql(f"DROP VIEW IF EXISTS {quoted(name)}")
        connection.exec_driver_sql(f"CREATE VIEW {quoted(name)} AS {select}")

    def hold(self, _connection: Connection, _views: Sequence[str], _timeout: dt.timedelta) -> None:
        """The transaction's snapshot covers the schema."""

    @contextmanager
    def limited(self, connection: Connection, timeout: dt.timedelta) -> Iterator[None]:
        """Watch the clock while the statement runs, and let it write nothing."""
        driver = cast(sqlite3.Connection, connection.connection.driver_connection)
        end = time.monotonic() + timeout.total_seconds()
        driver.set_progress_handler(lambda: int(time.monotonic() > end), STEPS_BETWEEN_LOOKS)
        connection.exec_driver_sql("PRAGMA query_only=ON")
        try:
            yield
        finally:
            driver.set_progress_handler(None, 0)
            driver.execute("PRAGMA query_only=OFF")

    def parameter(self, value: object) -> object:
        """As the view shows the columns it is compared with."""
        if isinstance(value, Decimal):
            return float(value)
        if isinstance(value, dt.datetime):
            return _instant_text(values.in_utc(value))
        return value.isoformat() if isinstance(value, dt.date) else value

    def timed_out(self, error: DBAPIError) -> bool:
        """Did the progress handler stop it?"""
        return getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT

    def missing_table(self, error: DBAPIError) -> bool:
        """Is it about a table or view that is not there?"""
        return "no such table" in str(error.orig)

    def faulty_sql(self, error: DBAPIError) -> bool:
        """SQLite calls every mistake in a statement a logic error."""
        code = getattr(error.orig, "sqlite_errorcode", None)
        return code in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_READONLY) or not isinstance(
            error.orig, sqlite3.OperationalError
        )
