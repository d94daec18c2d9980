"""A legacy source in a SQLite file: reads through a connection that cannot write, capture through one that can."""

from __future__ import annotations

import datetime as dt
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError

from adapters.doctor.sqlite import SqliteDoctor
from adapters.engines import reading
from adapters.legacy.guard import LOCK_TIMEOUT, Slots, judged
from adapters.legacy.shards import teach
from adapters.legacy.sqlite.capture import SqliteCapture, clock
from toolkit.core.errors import Infrastructure, UsageError
from toolkit.diagnosis import Check, Patient
from toolkit.ports import Answer, Capture
from toolkit.settings import LegacySection, duration

_STEPS = 2000
"""Virtual machine steps between two looks at the time: a fraction of a millisecond of work."""


class SqliteSource:
    """Implements `toolkit.ports.LegacySource`."""

    def __init__(self, name: str, url: str, section: LegacySection) -> None:
        self.name = name
        self._path = path = _path(name, make_url(url))
        self._slots = Slots(name, section.max_reads)
        self._timeout = duration(section.read_timeout)
        self._reader = _engine(path, "ro", pool_size=section.max_reads)
        self._writer = _engine(path, "rw", pool_size=2 * section.shards)
        self.capture: Capture = SqliteCapture(name, self._writer)

    def clock(self) -> dt.datetime:
        """The machine's clock as SQLite tells it (milliseconds, cut off)."""
        return self.query("SELECT 1", {}, timeout=self._timeout).instant

    def query(self, sql: str, parameters: Mapping[str, object], *, timeout: dt.timedelta) -> Answer:
        """Run a read on a connection that cannot write, interrupted when its time is up."""
        with (
            self._slots.one(timeout),
            judged(self.name, timeout, _interrupted),
            reading(self._reader) as connection,
            _interrupting(connection, timeout),
        ):
            given = {name: _given(value) for name, value in parameters.items()}
            rows = connection.execute(text(sql), given).mappings()
            found = [{name.lower(): value for name, value in row.items()} for row in rows]
            return Answer(rows=found, instant=clock(connection))

    def checks(self, patient: Patient) -> Sequence[Check]:
        """What can be asked of the file about its ailments, in the same guarded sessions."""
        doctor = SqliteDoctor(
            lambda sql, given: self.query(sql, given, timeout=self._timeout).rows, self._path
        )
        return doctor.checks(patient)

    def close(self) -> None:
        """Close all connections."""
        self._reader.dispose()
        self._writer.dispose()


def _given(value: object) -> object:
    """A parameter in a type that SQLite has: an exact number is compared as its columns keep one."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, dt.datetime):
        return value.isoformat(" ")
    return value.isoformat() if isinstance(value, dt.date) else value


def _path(name: str, url: URL) -> Path:
    if not url.database or url.database == ":memory:":
        raise UsageError(f"legacy source {name}: a SQLite source is a file (sqlite:///path/to/legacy.db)")
    path = Path(url.database)
    if not path.is_file():
        raise Infrastructure(f"legacy source {name}: there is no file {path}")
    return path


def _engine(path: Path, mode: str, pool_size: int) -> Engine:
    """The legacy file as it is: its journal mode and settings are the application's, and no file is created."""
    url = URL.create(
        "sqlite", database=f"file:{quote(str(path.resolve()))}", query={"mode": mode, "uri": "true"}
    )
    engine = create_engine(url, pool_size=pool_size, max_overflow=0)

    @event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None
        teach(connection)
        connection.execute(f"PRAGMA busy_timeout={int(LOCK_TIMEOUT.total_seconds() * 1000)}")
        if connection.execute("PRAGMA journal_mode").fetchone() == ("wal",):
            connection.execute(
                "PRAGMA synchronous=NORMAL"
            )  # safe with a WAL, and holds the write lock for less long

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        deferred = connection.get_execution_options().get("deferred", False)
        connection.exec_driver_sql("BEGIN DEFERRED" if deferred else "BEGIN IMMEDIATE")

    return engine


@contextmanager
def _interrupting(connection: Connection, timeout: dt.timedelta) -> Iterator[None]:
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    deadline = time.monotonic() + timeout.total_seconds()
    driver.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)
    try:
        yield
    finally:
        driver.set_progress_handler(None, 0)


def _interrupted(error: DBAPIError) -> bool:
    return str(error.orig) in ("interrupted", "database is locked")
