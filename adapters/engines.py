"""Engines as the toolkit wants them: SQLite in WAL mode with real transactions, MariaDB and MySQL in UTC with snapshots."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Executable, Table, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import (
    InterfaceError,
    InternalError,
    InvalidatePoolError,
    NoSuchModuleError,
    OperationalError,
    ProgrammingError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout

from migrations.schema.read_store import metadata as store_tables
from migrations.schema.state import metadata as state_tables
from migrations.urls import MYSQL, one_dialect
from toolkit import commands, registry
from toolkit.core.errors import DriverMissing, Infrastructure, NotSetUp, UsageError

RAW_AT = "a URL has an @ in its user or password: write it as %40 (and : as %3A, / as %2F)"
BUSY_TIMEOUT_MS = 30_000
STANDSTILL_S = 30
"""How long a transaction of a process that stands still (frozen, cut off) keeps what it locked from everybody else, such
as the lease that another process would take over. The server ends it then; whoever wakes up finds its work undone."""
_EXTRAS = {"postgresql": "postgres", "mysql": "mysql", "mariadb": "mysql"}
# No server-side prepared statements: after a few runs their plan is kept, and a plan made while a table was
# empty scans it whole when it has grown. PgBouncer in transaction mode does without them, too.
_CONNECT = {"postgresql+psycopg": {"prepare_threshold": None}}


def open_engine(url: str, **options: Any) -> Engine:
    """Create an engine for a URL. Raises DriverMissing with the extra to install, UsageError for a bad URL."""
    parsed = make_url(url)
    if "@" in (parsed.host or ""):
        # What comes before the first one was taken for the password: messages would show the rest of it.
        raise UsageError(RAW_AT)
    if parsed.drivername == "postgresql":  # without a driver: SQLAlchemy would take one that we do not know
        parsed = parsed.set(drivername="postgresql+psycopg")
    try:
        if parsed.get_backend_name() == "sqlite":
            return _sqlite(parsed, **options)
        if parsed.get_backend_name() in MYSQL:
            return _mysql(parsed, **options)
        connect = {**_CONNECT.get(parsed.drivername, {}), **options.pop("connect_args", {})}
        return _server(parsed, connect, **options)
    except ModuleNotFoundError as error:
        backend = parsed.get_backend_name()
        raise DriverMissing(f"{backend} ({error.name})", _EXTRAS.get(backend, backend)) from error
    except NoSuchModuleError as error:
        unknown = f"{parsed.drivername} is not a database this toolkit or a plugin of it knows"
        raise UsageError(registry.spelled(url) or unknown) from error


def _server(url: URL, connect: dict[str, Any], **options: Any) -> Engine:
    engine = create_engine(url, pool_pre_ping=True, connect_args=connect, **options)
    if url.drivername == "postgresql+psycopg" and "options" not in connect:  # who gives options says it there

        @event.listens_for(engine, "connect")
        def configure(connection: Any, _record: object) -> None:
            connection.execute(f"SET idle_in_transaction_session_timeout = '{STANDSTILL_S}s'")
            connection.commit()

    if url.drivername == "postgresql+psycopg":
        _ask_in_binary(engine)
    return engine


def _ask_in_binary(engine: Engine) -> None:
    """What is asked with `fetched` comes as the server has it: as text, each value would be told and read again."""
    from psycopg.pq import Format

    @event.listens_for(engine, "before_cursor_execute")
    def ask(*given: Any) -> None:
        _, cursor, _, _, context, _ = given
        if context is not None and context.execution_options.get("fetched"):
            cursor.format = Format.BINARY


def _sqlite(url: URL, **options: Any) -> Engine:
    if url.database and url.database != ":memory:":
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_MS / 1000}, **options)

    @event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _record: object) -> None:
        # The driver must not begin transactions by itself: `begin` below says which kind.
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")

    if url.database and url.database != ":memory:":
        _leave_removed_files(engine, Path(url.database))

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        # A deferred transaction that reads and then writes fails at once when another wrote in between;
        # a reader says so with execution_options(deferred=True) and never waits for a writer.
        deferred = connection.get_execution_options().get("deferred", False)
        connection.exec_driver_sql("BEGIN DEFERRED" if deferred else "BEGIN IMMEDIATE")

    return engine


def _leave_removed_files(engine: Engine, path: Path) -> None:
    """A file that was removed, or replaced, lives on for who has it open: what he writes there, nobody would ever see."""

    def file() -> tuple[int, int] | None:
        try:
            found = path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    @event.listens_for(engine, "connect")
    def remember(_connection: sqlite3.Connection, record: Any) -> None:
        record.info["file"] = file()

    @event.listens_for(engine, "checkout")
    def compare(_connection: sqlite3.Connection, record: Any, _proxy: object) -> None:
        if record.info["file"] != file():
            raise InvalidatePoolError


def _mysql(url: URL, **options: Any) -> Engine:
    url = one_dialect(url).update_query_dict({"charset": "utf8mb4"})
    engine = create_engine(url, pool_pre_ping=True, **options)

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        # MySQL passes by what is between /*M! and */: it has no such setting.
        cursor.execute(
            f"SET time_zone = '+00:00' /*M!100301 , SESSION idle_transaction_timeout = {STANDSTILL_S} */"
        )
        cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        # A reader sees one snapshot. A writer must not lock the gaps between rows, where others insert.
        if connection.get_execution_options().get("deferred", False):
            connection.exec_driver_sql("START TRANSACTION READ ONLY")
        else:
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")

    return engine


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One transaction that writes. A database that does not answer is Infrastructure, not a driver's error."""
    with _answering(engine), engine.begin() as connection:
        yield connection


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """One transaction that reads, in one snapshot, without waiting for a writer."""
    with _answering(engine), engine.connect() as connection:
        options = _SNAPSHOT if engine.dialect.name == "postgresql" else {"deferred": True}
        yield connection.execution_options(**options)


def wait_at_most(connection: Connection, seconds: int) -> None:
    """For locks, in this transaction. SQLite and MariaDB have their own limits."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{seconds}s'")


def waited_in_vain(error: Infrastructure) -> bool:
    """Was it a lock that PostgreSQL did not give in time?"""
    return getattr(getattr(error.__cause__, "orig", None), "sqlstate", "") == "55P03"


def bulk_insert(connection: Connection, table: Table, rows: Sequence[dict[str, object]]) -> None:
    """Insert many rows (all with the same columns), the fast way of the engine."""
    if connection.dialect.name != "postgresql":
        connection.execute(table.insert(), rows)
        return
    quote = connection.dialect.identifier_preparer.quote
    names = list(rows[0])
    columns = ", ".join(quote(name) for name in names)
    driver: Any = connection.connection.driver_connection
    with driver.cursor().copy(f"COPY {quote(table.name)} ({columns}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row([row[name] for name in names])


def fetched(
    connection: Connection, statement: Executable, parameters: Mapping[str, object] | None = None
) -> list[tuple[Any, ...]]:
    """Many rows as the driver gives them, the fast way of the engine: SQLAlchemy would look at each value once again.

    So an instant comes in a zone of the driver's choice, or as the text that SQLite keeps.
    """
    cursor: Any = connection.execute(statement, parameters, execution_options={"fetched": True}).cursor
    rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


_SNAPSHOT = {"isolation_level": "REPEATABLE READ"}


@contextmanager
def _answering(engine: Engine) -> Iterator[None]:
    driver: Any = engine.dialect.dbapi  # its own errors escape where SQLAlchemy is passed by (COPY)
    unavailable = (
        OperationalError,
        InterfaceError,
        PoolTimeout,
        driver.OperationalError,
        driver.InterfaceError,
    )
    try:
        yield
    except ProgrammingError as error:
        if ours_is_missing(error):
            raise NotSetUp(_not_set_up(engine)) from error
        raise
    except (*unavailable, InternalError) as error:
        if isinstance(error, InternalError) and not error.connection_invalidated:
            raise
        if ours_is_missing(error):
            raise NotSetUp(_not_set_up(engine)) from error
        cause = getattr(error, "orig", None) or error
        where = engine.url.render_as_string(hide_password=True)
        raise Infrastructure(f"{where} cannot be used: {str(cause).strip()}") from error


_OURS = frozenset((*state_tables.tables, *store_tables.tables))
_MISSING = re.compile(
    r"no such table: (\w+)|relation \"(\w+)\" does not exist|Table '(?:[^'.]*\.)?(\w+)'"
    # or a column of it, which an upgrade adds
    r"|table (\w+) has no column|no such column: (\w+)\.|column (\w+)\.\w+ does not exist|Unknown column '(\w+)\."
)


def ours_is_missing(error: BaseException) -> bool:
    """Did the server miss one of the toolkit's own tables, or a column of one (and not of capture's, or of a user's)?"""
    found = _MISSING.search(str(getattr(error, "orig", None) or error))
    return found is not None and found[found.lastindex or 0] in _OURS


def _not_set_up(engine: Engine) -> str:
    where = engine.url.render_as_string(hide_password=True)
    return f"the toolkit's own tables are not in {where}, or are of an older version: run `{commands.SETUP}` first"
