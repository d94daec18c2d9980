"""A legacy source in any database that has a SQLAlchemy dialect and no adapter of ours: read, and captured by looking again."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from sqlalchemy import text
from sqlalchemy.engine import make_url

from adapters.legacy.fetching.sessions import Sessions
from adapters.legacy.guard import Slots
from toolkit import registry
from toolkit.core.errors import UsageError
from toolkit.ports import Answer, Capture
from toolkit.settings import ENGINES_OWN, LegacySection, duration


class AnySource:
    """Implements `toolkit.ports.LegacySource`; its capture is given to it (`poll` or `snapshot`).

    Reads are guarded as far as the dialect can: each is rolled back, none may do anything but give rows, so many run at
    once, and one that takes too long is cancelled where the server or the driver can.
    """

    capture: Capture

    def __init__(self, name: str, url: str, section: LegacySection) -> None:
        self.name = name
        if section.capture in ENGINES_OWN:
            backend = make_url(url).get_backend_name()
            raise UsageError(
                f"legacy source {name}: capture by {section.capture} needs an adapter for {backend}, and none is "
                f"installed (there are {', '.join(registry.names(registry.LEGACY))}): "
                f'write capture = "poll" or capture = "snapshot" in [legacy.{name}]'
            )
        self._slots = Slots(name, section.max_reads)
        self._sessions = Sessions(name, url, size=section.max_reads, timeout=duration(section.read_timeout))

    def clock(self) -> dt.datetime:
        """The database's CURRENT_TIMESTAMP, in UTC."""
        return self._sessions.clock()

    def query(self, sql: str, parameters: Mapping[str, object], *, timeout: dt.timedelta) -> Answer:
        """Run a read, and roll back. A statement that gives no rows is refused."""
        with self._slots.one(timeout), self._sessions.reading(timeout) as connection:
            done = connection.execute(text(sql), dict(parameters))
            if not done.returns_rows:
                raise UsageError(
                    f"legacy source {self.name} refuses the statement: it gives no rows, so it is no read"
                )
            found = [{name.lower(): value for name, value in row.items()} for row in done.mappings()]
            return Answer(rows=found, instant=self._sessions.now(connection))

    def close(self) -> None:
        """Close all connections."""
        self._sessions.close()
