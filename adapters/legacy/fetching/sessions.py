"""Sessions with a legacy database of any engine: read-only, limited, in one snapshot, as far as its dialect can."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError

from adapters.engines import open_engine
from adapters.legacy.guard import CAPTURE_TIMEOUT, LOCK_TIMEOUT, judged

_CONNECT_TIMEOUT = 10
_QUARTER = 15 * 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """What is known of an engine; the defaults are those of an engine of which nothing is known.

    `raw`: the driver's values are taken as they are, not through SQLAlchemy's types. `session` and `begin` are executed
    when a connection is made and a transaction begins. `said` are SQL states or codes that mean: the time was up.
    """

    raw: bool = False
    isolation: str = ""
    session: Callable[[str, int], list[str]] = field(default=lambda _version, _ms: [])
    begin: str = ""
    clock: str = "SELECT CURRENT_TIMESTAMP"
    version: str = ""
    said: frozenset[object] = frozenset()
    longest: str = ""
    read_only: bool = False
    limited: bool = False
    hex_prefix: str = ""
    lower_hex: bool = False
    clock_times: bool = False
    """a duration is a time of day (MySQL's TIME), not an interval"""


def _mysql_session(version: str, limit: int) -> list[str]:
    mariadb = "mariadb" in version.lower()
    longest = f"max_statement_time = {limit / 1000:g}" if mariadb else f"max_execution_time = {limit}"
    wait = max(1, int(LOCK_TIMEOUT.total_seconds()))
    return [
        "SET SESSION TRANSACTION READ ONLY",
        f"SET SESSION {longest}, SESSION innodb_lock_wait_timeout = {wait}, SESSION time_zone = '+00:00'",
    ]


def _postgresql_session(_version: str, limit: int) -> list[str]:
    return [
        "SET default_transaction_read_only = on",
        f"SET statement_timeout = {limit}",
        f"SET lock_timeout = {int(LOCK_TIMEOUT.total_seconds() * 1000)}",
        # A session of ours that hangs in the middle must not hold back vacuum or a lock for long.
        f"SET idle_in_transaction_session_timeout = {int(CAPTURE_TIMEOUT.total_seconds() * 1000)}",
        "SET timezone = 'UTC'",
    ]


_MYSQL = Dialect(
    raw=True,
    isolation="REPEATABLE READ",
    session=_mysql_session,
    clock="SELECT UTC_TIMESTAMP(6)",
    version="SELECT VERSION()",
    said=frozenset({1969, 3024, 1205, 1317}),
    longest="SELECT max(timestampdiff(SECOND, trx_started, now())) FROM information_schema.innodb_trx "
    "WHERE trx_rows_modified > 0",
    read_only=True,
    limited=True,
    clock_times=True,
)
KNOWN: Mapping[str, Dialect] = {
    "sqlite": Dialect(
        raw=True,
        session=lambda _version, _ms: ["PRAGMA query_only = ON"],
        begin="BEGIN DEFERRED",
        clock="SELECT strftime('%Y-%m-%dT%H\\:%M\\:%f', 'now') || '+00\\:00'",
        read_only=True,
    ),
    "postgresql": Dialect(
        raw=True,
        isolation="REPEATABLE READ",
        session=_postgresql_session,
        clock="SELECT clock_timestamp()",
        said=frozenset({"57014", "55P03", "25P03"}),
        longest="SELECT extract(epoch FROM max(clock_timestamp() - xact_start)) FROM pg_stat_activity "
        "WHERE backend_xid IS NOT NULL AND datname = current_database()",
        read_only=True,
        limited=True,
        hex_prefix="\\x",
        lower_hex=True,
    ),
    "mysql": _MYSQL,
    "mariadb": _MYSQL,
}


class Sessions:
    """Connections that read. Every transaction is rolled back, whatever happened in it."""

    def __init__(
        self, name: str, url: str, *, size: int = 1, timeout: dt.timedelta = CAPTURE_TIMEOUT
    ) -> None:
        self.name, self._timeout = name, timeout
        parsed = make_url(url)
        if parsed.drivername in ("postgresql", "postgres"):
            parsed = parsed.set(drivername="postgresql+psycopg")
        self.engine = _engine(parsed, size)
        self.dialect = KNOWN.get(self.engine.dialect.name, Dialect())
        event.listen(self.engine, "connect", self._prepare)
        if self.dialect.begin:
            event.listen(self.engine, "begin", self._begin)

    def _prepare(self, driver: Any, _record: object) -> None:
        if self.engine.dialect.name == "sqlite":
            driver.isolation_level = None  # the driver must not begin transactions by itself
        cursor = driver.cursor()
        version = ""
        if self.dialect.version:
            cursor.execute(self.dialect.version)
            version = str(cursor.fetchone()[0])
        for statement in self.dialect.session(version, int(self._timeout.total_seconds() * 1000)):
            cursor.execute(statement)
        cursor.close()
        if self.dialect.limited:
            driver.commit()

    def _begin(self, connection: Connection) -> None:
        connection.exec_driver_sql(self.dialect.begin)

    @contextmanager
    def reading(self, timeout: dt.timedelta | None = None) -> Iterator[Connection]:
        """One transaction: one snapshot where the engine gives one. Errors of the driver become ours.

        A driver that can cancel what its connection does is told to when the time is up; servers that limit by themselves
        need no such help.
        """
        limit = timeout or self._timeout
        late = threading.Event()

        def cancelled(error: DBAPIError) -> bool:
            return late.is_set() or _code(error) in self.dialect.said

        with judged(self.name, limit, cancelled), self.engine.connect() as plain:
            connection = plain
            if self.dialect.isolation:
                connection = plain.execution_options(isolation_level=self.dialect.isolation)
            cancel = None if self.dialect.limited else _canceller(connection)
            with _cancelling(cancel, limit, late):
                try:
                    yield connection
                finally:
                    connection.rollback()

    @property
    def cancels(self) -> bool:
        """Is what takes too long cancelled, by the server or through the driver?"""
        if self.dialect.limited:
            return True
        with self.engine.connect() as connection:
            return _canceller(connection) is not None

    def clock(self) -> dt.datetime:
        """The engine's own clock, in UTC."""
        with self.reading() as connection:
            return self.now(connection)

    def now(self, connection: Connection) -> dt.datetime:
        """The same, on a connection."""
        return in_utc(connection.scalar(text(self.dialect.clock)), dt.datetime.now(dt.UTC))

    def longest_transaction(self) -> dt.timedelta | None:
        """For how long the oldest transaction that has written has been open; None where the engine does not tell."""
        if not self.dialect.longest:
            return None
        try:
            with self.reading() as connection:
                seconds = connection.scalar(text(self.dialect.longest))
        except Exception:  # noqa: BLE001 - it takes a right that a reader need not have
            return None
        return dt.timedelta(seconds=float(seconds or 0))

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def in_utc(value: object, here: dt.datetime) -> dt.datetime:
    """A clock's value in UTC. One without a zone is taken for the offset, in quarters of an hour, that brings it nearest to
    this machine's clock: engines tell CURRENT_TIMESTAMP in the server's zone, in the session's, or in UTC.
    """
    told = dt.datetime.fromisoformat(value) if isinstance(value, str) else value
    if not isinstance(told, dt.datetime):
        raise TypeError(f"the clock of the legacy source gave {value!r}, which is no instant")
    if told.tzinfo is not None:
        return told.astimezone(dt.UTC)
    ahead = (told - here.replace(tzinfo=None)).total_seconds()
    offset = dt.timedelta(seconds=round(ahead / _QUARTER) * _QUARTER)
    return (told - offset).replace(tzinfo=dt.UTC)


def _engine(parsed: URL, size: int) -> Engine:
    if parsed.get_backend_name() != "sqlite" or not parsed.database or parsed.database == ":memory:":
        pool: dict[str, Any] = {} if parsed.get_backend_name() == "sqlite" else {"max_overflow": 0}
        return open_engine(parsed.render_as_string(hide_password=False), pool_size=size, **pool)
    # The legacy file as it is: no file is created, and its journal mode stays the application's.
    url = URL.create(
        parsed.drivername,
        database=f"file:{quote(parsed.database)}",
        query={"mode": "ro", "uri": "true"},
    )
    wait = {"timeout": LOCK_TIMEOUT.total_seconds()}
    return create_engine(url, pool_size=size, max_overflow=0, connect_args=wait)


def _canceller(connection: Connection) -> Callable[[], object] | None:
    driver: Any = connection.connection.driver_connection
    return getattr(driver, "cancel", None) or getattr(driver, "interrupt", None)


@contextmanager
def _cancelling(
    cancel: Callable[[], object] | None, limit: dt.timedelta, late: threading.Event
) -> Iterator[None]:
    if cancel is None:
        yield
        return

    def cut() -> None:
        late.set()
        with suppress(Exception):  # the read may have ended, and its connection closed, at this moment
            cancel()

    timer = threading.Timer(limit.total_seconds(), cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _code(error: DBAPIError) -> object:
    state = getattr(error.orig, "sqlstate", None)
    arguments = getattr(error.orig, "args", ())
    return state or (arguments[0] if arguments else None)
