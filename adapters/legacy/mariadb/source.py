"""A legacy source in MariaDB or MySQL: reads in read-only sessions with time limits, capture by sessions of its own."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, event, text

from adapters.doctor.mariadb import MariaDbDoctor
from adapters.engines import open_engine, reading
from adapters.legacy.guard import CAPTURE_TIMEOUT, LOCK_TIMEOUT, Slots, judged
from adapters.legacy.mariadb.capture import MariadbCapture, cancelled, clock, refused
from adapters.legacy.mariadb.tables import is_mariadb
from adapters.legacy.mariadb.triggers import SESSION
from toolkit.diagnosis import Check, Patient
from toolkit.ports import Answer, Capture
from toolkit.settings import LegacySection, duration

_CONNECT_TIMEOUT = 10
_SILENCE = dt.timedelta(seconds=30)
"""How much longer than the server's own limit we wait for an answer before the connection counts as lost."""


class MariadbSource:
    """Implements `toolkit.ports.LegacySource`."""

    def __init__(self, name: str, url: str, section: LegacySection) -> None:
        self.name = name
        self._slots = Slots(name, section.max_reads)
        self._timeout = duration(section.read_timeout)
        self._reader = _engine(
            url, self._timeout, ["SET SESSION TRANSACTION READ ONLY"], pool_size=section.max_reads
        )
        self._writer = _engine(url, CAPTURE_TIMEOUT, [SESSION], pool_size=2 * section.shards)
        self.capture: Capture = MariadbCapture(name, self._writer)

    def clock(self) -> dt.datetime:
        """The server's clock."""
        with (
            judged(self.name, self._timeout, cancelled, refused),
            reading(self._reader) as connection,
        ):
            return clock(connection)

    def query(self, sql: str, parameters: Mapping[str, object], *, timeout: dt.timedelta) -> Answer:
        """Run a read in a read-only transaction, cancelled by the server when its time is up."""
        with (
            self._slots.one(timeout),
            judged(self.name, timeout, cancelled, refused),
            reading(self._reader) as connection,
        ):
            _limit(connection, timeout)
            rows = connection.execute(text(sql), dict(parameters)).mappings()
            found = [{name.lower(): value for name, value in row.items()} for row in rows]
            return Answer(rows=found, instant=clock(connection))

    def checks(self, patient: Patient) -> Sequence[Check]:
        """What can be asked of the server about its ailments, in the same guarded sessions."""
        doctor = MariaDbDoctor(lambda sql, given: self.query(sql, given, timeout=self._timeout).rows)
        return doctor.checks(patient)

    def close(self) -> None:
        """Close all connections."""
        self._reader.dispose()
        self._writer.dispose()


def _limit(connection: Connection, timeout: dt.timedelta) -> None:
    connection.exec_driver_sql(_limit_of(timeout, mariadb=is_mariadb(connection)))


def _limit_of(timeout: dt.timedelta, *, mariadb: bool) -> str:
    """MariaDB limits every statement, in seconds; MySQL what SELECTs, in milliseconds."""
    seconds = max(timeout.total_seconds(), 0.001)
    if mariadb:
        return f"SET SESSION max_statement_time = {seconds:.3f}"
    return f"SET SESSION max_execution_time = {int(seconds * 1000)}"


def _engine(url: str, timeout: dt.timedelta, settings: Sequence[str], **options: Any) -> Engine:
    silence = int((max(timeout, CAPTURE_TIMEOUT) + _SILENCE).total_seconds())
    connect = {"connect_timeout": _CONNECT_TIMEOUT, "read_timeout": silence, "write_timeout": silence}
    engine = open_engine(url, connect_args=connect, max_overflow=0, **options)
    wait = int(LOCK_TIMEOUT.total_seconds())

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        cursor.execute("SELECT version()")
        mariadb = "mariadb" in str(cursor.fetchone()[0]).lower()
        cursor.execute(f"SET SESSION lock_wait_timeout = {wait}, innodb_lock_wait_timeout = {wait}")
        for setting in (_limit_of(timeout, mariadb=mariadb), *settings):
            cursor.execute(setting)
        cursor.close()

    return engine
