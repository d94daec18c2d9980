"""A session that looks at a legacy database and cannot hurt it: read-only, each statement limited in time."""

from __future__ import annotations

import datetime as dt
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from adapters.engines import RAW_AT, open_engine
from adapters.legacy.guard import LOCK_TIMEOUT
from toolkit.core.errors import Infrastructure, UsageError

_STEPS = 2000
_CONNECT_TIMEOUT = 10
_SAFE = frozenset(("host", "port", "charset", "sslmode", "service", "driver", "unix_socket"))
"""What a URL's query may keep in a file; whatever else is there may be a secret."""


@contextmanager
def looking(url: str, timeout: dt.timedelta) -> Iterator[Connection]:
    """A connection of its own, each statement its own transaction. A server that does not answer is Infrastructure."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise UsageError(f"--from: {error}") from error
    if "@" in (parsed.host or ""):
        raise UsageError(f"--from: {RAW_AT}")
    engine = _engine(parsed, timeout)
    try:
        with engine.connect() as connection:
            yield connection.execution_options(isolation_level="AUTOCOMMIT")
    except DBAPIError as error:
        where = parsed.render_as_string(hide_password=True)
        raise Infrastructure(f"{where} cannot be read: {str(error.orig).strip()}") from error
    finally:
        engine.dispose()


def without_secrets(url: str) -> str:
    """The URL as a file may hold it: no password, no option of the driver that could be one; a SQLite file in full."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return f"sqlite:///{Path(parsed.database or '').resolve()}"
    kept = {name: value for name, value in parsed.query.items() if name.lower() in _SAFE}
    return URL.create(
        parsed.drivername,
        username=parsed.username,
        host=parsed.host,
        port=parsed.port,
        database=parsed.database,
        query=kept,
    ).render_as_string(hide_password=False)


def _engine(url: URL, timeout: dt.timedelta) -> Engine:
    backend = url.get_backend_name()
    if backend == "sqlite":
        return _sqlite(url, timeout)
    if backend == "postgresql":
        return _postgres(url, timeout)
    engine = open_engine(url.render_as_string(hide_password=False))
    if backend in ("mysql", "mariadb"):
        event.listen(engine, "connect", _limit_mysql(timeout))
    return engine


def _postgres(url: URL, timeout: dt.timedelta) -> Engine:
    if url.drivername in ("postgresql", "postgres"):
        url = url.set(drivername="postgresql+psycopg")
    limits = [
        f"statement_timeout={int(timeout.total_seconds() * 1000)}",
        f"lock_timeout={int(LOCK_TIMEOUT.total_seconds() * 1000)}",
        "default_transaction_read_only=on",
    ]
    options = " ".join([str(url.query.get("options", "")), *(f"-c {one}" for one in limits)]).strip()
    connect = {"application_name": "strangler", "options": options, "connect_timeout": _CONNECT_TIMEOUT}
    return open_engine(url.render_as_string(hide_password=False), connect_args=connect)


def _limit_mysql(timeout: dt.timedelta) -> Any:
    """MariaDB counts seconds under one name, MySQL milliseconds under another."""

    def limit(connection: Any, _record: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET SESSION TRANSACTION READ ONLY")
            cursor.execute(f"SET SESSION lock_wait_timeout = {int(LOCK_TIMEOUT.total_seconds())}")
            cursor.execute("SELECT version()")
            maria = "mariadb" in str(cursor.fetchone()[0]).lower()
            seconds = timeout.total_seconds()
            name, value = (
                ("max_statement_time", seconds) if maria else ("max_execution_time", int(seconds * 1000))
            )
            cursor.execute(f"SET SESSION {name} = {value:g}")

    return limit


def _sqlite(url: URL, timeout: dt.timedelta) -> Engine:
    path = Path(url.database or "")
    if not path.is_file():
        raise Infrastructure(f"there is no file {path}")
    read_only = URL.create(
        "sqlite", database=f"file:{quote(str(path.resolve()))}", query={"mode": "ro", "uri": "true"}
    )
    engine = create_engine(read_only)
    deadline = [0.0]

    @event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute(f"PRAGMA busy_timeout={int(LOCK_TIMEOUT.total_seconds() * 1000)}")
        connection.set_progress_handler(lambda: time.monotonic() > deadline[0], _STEPS)

    @event.listens_for(engine, "before_cursor_execute")
    def begin(*_: object) -> None:
        deadline[0] = time.monotonic() + timeout.total_seconds()

    return engine
