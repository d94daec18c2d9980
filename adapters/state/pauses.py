"""Pauses in the state database: a person tells the relay of a source to rest, and it does until it is told otherwise."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import Engine, delete, select

from adapters.engines import reading, writing
from adapters.state.queries import replace
from migrations.schema.state import pause
from toolkit.ports import Pause


class SqlPauses:
    """Implements `toolkit.pauses.Pauses`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def of(self, source: str) -> Pause | None:
        """The pause of a source's relay, if there is one."""
        with reading(self._engine) as connection:
            row = connection.execute(select(pause).where(pause.c.source == source)).one_or_none()
        return None if row is None else Pause(source=source, who=row.who, why=row.why, since=row.since)

    def pause(self, source: str, who: str, why: str, now: dt.datetime) -> Pause:
        """Let the relay of a source rest; said again, the former reason goes."""
        row = {"source": source, "who": who, "why": why, "since": now}
        with writing(self._engine) as connection:
            replace(connection, pause, [row])
        return Pause(source=source, who=who, why=why, since=now)

    def resume(self, source: str) -> bool:
        """Let it go on. Was it paused?"""
        with writing(self._engine) as connection:
            return connection.execute(delete(pause).where(pause.c.source == source)).rowcount > 0
