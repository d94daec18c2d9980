"""A legacy source in PostgreSQL: reads in read-only transactions with time limits, capture by a session of its own."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine, text
from sqlalchemy.engine import make_url

from adapters.doctor.postgresql import PostgresDoctor, backend_pids
from adapters.engines import open_engine, reading
from adapters.legacy.guard import CAPTURE_TIMEOUT, LOCK_TIMEOUT, Slots, judged
from adapters.legacy.postgresql.capture import AheadCapture, cancelled, clock
from toolkit.diagnosis import Check, Patient
from toolkit.ports import Answer, Capture
from toolkit.settings import LegacySection, duration

APPLICATION = "strangler"
_CONNECT_TIMEOUT = 10


class PostgresSource:
    """Implements `toolkit.ports.LegacySource`."""

    def __init__(self, name: str, url: str, section: LegacySection) -> None:
        self.name = name
        self._slots = Slots(name, section.max_reads)
        self._timeout = duration(section.read_timeout)
        self._reader = postgres_engine(
            url, self._timeout, ["default_transaction_read_only=on"], pool_size=section.max_reads
        )
        self._writer = postgres_engine(url, CAPTURE_TIMEOUT, [], pool_size=2 * section.shards)
        self.capture: Capture = AheadCapture(name, self._writer)

    def clock(self) -> dt.datetime:
        """The server's clock."""
        with judged(self.name, self._timeout, cancelled), reading(self._reader) as connection:
            return clock(connection)

    def query(self, sql: str, parameters: Mapping[str, object], *, timeout: dt.timedelta) -> Answer:
        """Run a read in a read-only transaction, cancelled by the server when its time is up."""
        with (
            self._slots.one(timeout),
            judged(self.name, timeout, cancelled),
            reading(self._reader) as connection,
        ):
            _limit(connection, timeout)
            rows = connection.execute(text(sql), dict(parameters)).mappings()
            found = [{name.lower(): value for name, value in row.items()} for row in rows]
            return Answer(rows=found, instant=clock(connection))

    def checks(self, patient: Patient) -> Sequence[Check]:
        """What can be asked of the server about its ailments, in the same guarded sessions."""
        doctor = PostgresDoctor(
            lambda sql, given: self.query(sql, given, timeout=self._timeout).rows,
            partial(backend_pids, self._reader),
            application=APPLICATION,
        )
        return doctor.checks(patient)

    def close(self) -> None:
        """Close all connections."""
        self._reader.dispose()
        self._writer.dispose()


def _limit(connection: Connection, timeout: dt.timedelta) -> None:
    """The session is read-only already; the transaction is told again, in case a pooler shares sessions."""
    connection.execute(
        text(
            "SELECT set_config('transaction_read_only', 'on', true), set_config('statement_timeout', :limit, true)"
        ),
        {"limit": f"{max(1, int(timeout.total_seconds() * 1000))}"},
    )


def postgres_engine(url: str, timeout: dt.timedelta, settings: list[str], **options: Any) -> Engine:
    """An engine whose sessions have these time limits and settings, and say whose they are."""
    parsed = make_url(url)
    if parsed.drivername in ("postgresql", "postgres"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    limits = [
        f"statement_timeout={int(timeout.total_seconds() * 1000)}",
        f"lock_timeout={int(LOCK_TIMEOUT.total_seconds() * 1000)}",
        # A session of ours that hangs in the middle must not hold back vacuum or a lock for long.
        f"idle_in_transaction_session_timeout={int(CAPTURE_TIMEOUT.total_seconds() * 1000)}",
    ]
    given = parsed.query.get("options", "")
    asked = " ".join([str(given), *(f"-c {setting}" for setting in [*limits, *settings])]).strip()
    connect = {"application_name": APPLICATION, "options": asked, "connect_timeout": _CONNECT_TIMEOUT}
    return open_engine(
        parsed.render_as_string(hide_password=False), connect_args=connect, max_overflow=0, **options
    )
