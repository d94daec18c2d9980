"""Which kinds of events were ever archived: counted where the last count ended, so that a look is cheap at any size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from adapters.engines import reading, writing
from adapters.state import events
from adapters.state.queries import replace
from migrations.schema import state
from toolkit.core.errors import Infrastructure
from toolkit.core.records import Record
from toolkit.ports import SeenKind

_ATTEMPTS = 5


class _Counted(msgspec.Struct, frozen=True, kw_only=True):
    """A kind as it is kept: what is told of it, and where an example stands."""

    seen: SeenKind
    partition: int
    sequence: int

    @property
    def key(self) -> tuple[str, int, int]:
        """What tells it from the others of its topic."""
        return self.seen.type, self.seen.version, self.seen.meaning

    def with_more(self, more: _Counted) -> _Counted:
        """Both, with the example of the later one."""
        together = msgspec.structs.replace(
            self.seen,
            events=self.seen.events + more.seen.events,
            first_at=min(self.seen.first_at, more.seen.first_at),
            last_at=max(self.seen.last_at, more.seen.last_at),
        )
        return msgspec.structs.replace(more, seen=together)


class SqlKinds:
    """Implements `toolkit.ports.Kinds`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def seen(self, topic: str) -> list[SeenKind]:
        """Every kind of a topic, by type, version and meaning. Counts what was archived since the last time."""
        for _ in range(_ATTEMPTS):
            # Counted in a snapshot of its own: on SQLite, the relay would wait for a transaction that also writes.
            with reading(self._engine) as connection:
                known = _kept(connection, topic)
                passed, ends = _passed(connection, topic), _ends(connection, topic)
                fresh = [
                    one
                    for at, end in ends.items()
                    for one in _new(connection, topic, at, passed.get(at, 0), end)
                ]
            for one in fresh:
                known[one.key] = known[one.key].with_more(one) if one.key in known else one
            if self._keep(topic, known, passed, ends):
                return [one.seen for _, one in sorted(known.items())]
        raise Infrastructure(f"the kinds of {topic} are counted by others all the time: try again")

    def _keep(
        self,
        topic: str,
        known: Mapping[tuple[str, int, int], _Counted],
        passed: Mapping[int, int],
        ends: Mapping[int, int],
    ) -> bool:
        """Keep the counts, if nobody else did meanwhile: an event that is counted twice is no count."""
        if all(passed.get(at, 0) == end for at, end in ends.items()):
            return True
        try:
            with writing(self._engine) as connection:
                for at, end in ends.items():
                    if not _moved(connection, topic, at, passed.get(at), end):
                        connection.rollback()
                        return False
                replace(connection, state.kind, [_row(one) for one in known.values()])
        except IntegrityError:
            return False
        return True

    def example(self, kind: SeenKind) -> Record | None:
        """One of its newer events; None when the archive does not hold it any more."""
        with reading(self._engine) as connection:
            known = _kept(connection, kind.topic).get((kind.type, kind.version, kind.meaning))
            if known is None:
                return None
            at = known.sequence
            found = events.after(connection, kind.topic, known.partition, at - 1, at, 1)
        return found[0] if found else None


def _kept(connection: Connection, topic: str) -> dict[tuple[str, int, int], _Counted]:
    table = state.kind
    kept = [_counted(topic, row) for row in connection.execute(select(table).where(table.c.topic == topic))]
    return {one.key: one for one in kept}


def _passed(connection: Connection, topic: str) -> dict[int, int]:
    table = state.kind_counted
    found = select(table.c.partition, table.c.sequence).where(table.c.topic == topic)
    return {row.partition: row.sequence for row in connection.execute(found)}


def _ends(connection: Connection, topic: str) -> dict[int, int]:
    table = state.sequence
    found = select(table.c.partition, table.c.archived).where(table.c.topic == topic)
    return {row.partition: row.archived for row in connection.execute(found)}


def _new(connection: Connection, topic: str, at: int, after: int, end: int) -> list[_Counted]:
    """The kinds of one partition's events beyond a sequence: a range of the primary key, read once."""
    if after >= end:
        return []
    one = state.event.c
    found = (
        select(
            one.type,
            one.version,
            one.meaning,
            func.count().label("events"),
            func.min(one.time).label("first_at"),
            func.max(one.time).label("last_at"),
            func.min(one.partition).label("partition"),
            func.max(one.sequence).label("sequence"),
        )
        .where(one.topic == topic, one.partition == at, one.sequence > after, one.sequence <= end)
        .group_by(one.type, one.version, one.meaning)
    )
    return [_counted(topic, row) for row in connection.execute(found)]


def _moved(connection: Connection, topic: str, at: int, was: int | None, end: int) -> bool:
    """Move on how far a partition is counted. False when somebody else did."""
    table = state.kind_counted
    if was is None:
        connection.execute(insert(table).values(topic=topic, partition=at, sequence=end))
        return True
    here = (table.c.topic == topic) & (table.c.partition == at) & (table.c.sequence == was)
    return was == end or connection.execute(update(table).where(here).values(sequence=end)).rowcount == 1


def _counted(topic: str, row: Any) -> _Counted:
    seen = SeenKind(
        topic=topic,
        type=row.type,
        version=row.version,
        meaning=row.meaning,
        events=row.events,
        first_at=row.first_at,
        last_at=row.last_at,
    )
    return _Counted(seen=seen, partition=row.partition, sequence=row.sequence)


def _row(one: _Counted) -> dict[str, object]:
    told = msgspec.structs.asdict(one.seen)
    return {**told, "partition": one.partition, "sequence": one.sequence}
