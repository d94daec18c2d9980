"""The end of the archive in the state database: history begins later at once, and what is cut off goes in short steps.

The ids of what goes are kept: an event that comes again after it was pruned must find that it was there (R4).
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    MetaData,
    Row,
    Table,
    case,
    cast,
    delete,
    exists,
    func,
    select,
    update,
)
from sqlalchemy import insert as insert_into

from adapters.engines import reading, writing
from adapters.state.time_partitions import TimePartition, TimePartitions
from migrations.schema import state
from toolkit.ports import Kept, Swept

CHUNK = 5_000
"""Events that one transaction removes: it lasts some tens of milliseconds, and nobody waits for longer."""
REST = 1.0
"""After each, a rest as many times as long as it took: the relay and the projectors come first."""

_event, _sequence, _pruned = state.event, state.sequence, state.pruned_id
_Place = tuple[str, int]


class SqlRetention:
    """Implements `toolkit.ports.Retention`."""

    def __init__(
        self,
        engine: Engine,
        *,
        chunk: int = CHUNK,
        rest: float = REST,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._engine, self._chunk, self._rest, self._sleep = engine, chunk, rest, sleep
        self._partitions = TimePartitions(engine) if engine.dialect.name == "postgresql" else None

    # --- looking

    def kept(self, topic: str) -> list[Kept]:
        """By partition."""
        table = _sequence
        with reading(self._engine) as connection:
            rows = connection.execute(select(table).where(table.c.topic == topic).order_by(table.c.partition))
            return [self._kept(connection, row) for row in rows.all()]

    def _kept(self, connection: Connection, row: Row[Any]) -> Kept:
        topic, partition, pruned = row.topic, row.partition, row.pruned
        first = (
            select(_event.c.time, _event.c.archived_on)
            .where(*_at((topic, partition)), _event.c.sequence > pruned)
            .order_by(_event.c.sequence)
            .limit(1)
        )
        found = connection.execute(first).one_or_none()
        since, archived_on = (None, None) if found is None else found
        return Kept(
            topic=topic,
            partition=partition,
            pruned=pruned,
            published=row.published,
            archived=row.archived,
            since=since,
            archived_on=archived_on,
        )

    def size(self) -> int | None:
        """Bytes of the events, where the engine tells."""
        return self._partitions.size() if self._partitions is not None else None

    def whole(self, day: dt.date) -> dt.date:
        """The latest day, up to this one, before which everything goes by dropping whole time partitions."""
        known = self._partitions.known() if self._partitions is not None else []
        return next((one.since for one in known if one.since < day < one.until), day)

    def before(self, topic: str, day: dt.date) -> dict[int, int]:
        """Partition to the last published sequence that was archived before this day. Days do not go back in a
        partition, but for a clock that did, so that a few probes find it.
        """
        with reading(self._engine) as connection:
            table = _sequence
            rows = connection.execute(
                select(table.c.partition, table.c.pruned, table.c.published).where(table.c.topic == topic)
            ).all()
            return {
                partition: _last_before(connection, (topic, partition), day, pruned, published)
                for partition, pruned, published in rows
            }

    def stray(self) -> int:
        """How many events lie in no time partition of their own, counted up to a million."""
        return self._partitions.stray() if self._partitions is not None else 0

    # --- cutting

    def cut(self, topic: str, ends: Mapping[int, int]) -> None:
        """Let history begin behind these sequences, where it does not begin later already."""
        table = _sequence
        with writing(self._engine) as connection:
            for partition, end in sorted(ends.items()):
                here = (table.c.topic == topic) & (table.c.partition == partition)
                may = (table.c.pruned < end) & (table.c.published >= end)
                connection.execute(update(table).where(here, may).values(pruned=end))

    def uncut(self, topic: str, ends: Mapping[int, int]) -> bool:
        """Let history begin behind these sequences again, as far as nothing was removed yet."""
        table, moved = _sequence, 0
        with writing(self._engine) as connection:
            for partition, end in sorted(ends.items()):
                here = (table.c.topic == topic) & (table.c.partition == partition)
                to = case((table.c.swept > end, table.c.swept), else_=end)
                back = update(table).where(here, table.c.pruned > to).values(pruned=to)
                moved += connection.execute(back).rowcount
        return moved > 0

    # --- removing

    def sweep(self) -> Iterator[Swept]:
        """Remove what is cut, step by step; what died in between goes on here."""
        ends = self._begin()
        for one in self._partitions.known() if self._partitions is not None else []:
            yield from self._drop(one, ends)
        for place, end in ends.items():
            yield from self._thin(place, end)

    def _begin(self) -> dict[_Place, int]:
        """From here on, nothing of what is cut comes back."""
        table = _sequence
        with writing(self._engine) as connection:
            # In the order in which the relay locks them: none waits for the other in a circle.
            connection.execute(
                select(table.c.topic).order_by(table.c.topic, table.c.partition).with_for_update()
            )
            connection.execute(update(table).values(swept=table.c.pruned))
            rows = connection.execute(select(table.c.topic, table.c.partition, table.c.pruned))
            return {(topic, partition): end for topic, partition, end in rows if end}

    def _drop(self, one: TimePartition, ends: Mapping[_Place, int]) -> Iterator[Swept]:
        """Drop a time partition that holds nothing but what is cut, once the ids in it are kept."""
        assert self._partitions is not None
        with reading(self._engine) as connection:
            held = self._partitions.held(connection, one)
        over = one.until <= dt.datetime.now(dt.UTC).date()
        if not (held or over) or any(last > ends.get(place, 0) for place, (_, last) in held.items()):
            return
        table = _event.to_metadata(MetaData(), name=one.name)
        events = 0
        for place, (first, last) in held.items():
            for low in range(first, last + 1, self._chunk):
                began = time.monotonic()
                with writing(self._engine) as connection:
                    _keep_ids(connection, table, place, low, min(low + self._chunk - 1, last))
                self._pause(began)
                yield Swept()
            events += last - first + 1
        if self._partitions.drop(one, ends):
            yield Swept(events=events, dropped=one.name)
        else:
            yield Swept(busy=one.name)

    def _thin(self, place: _Place, end: int) -> Iterator[Swept]:
        """Delete row by row what no time partition can be dropped for."""
        with reading(self._engine) as connection:
            low = connection.scalar(select(func.min(_event.c.sequence)).where(*_at(place)))
        while low is not None and low <= end:
            began = time.monotonic()
            high = min(low + self._chunk - 1, end)
            with writing(self._engine) as connection:
                _keep_ids(connection, _event, place, low, high)
                gone = delete(_event).where(*_at(place), _event.c.sequence.between(low, high))
                events = connection.execute(gone).rowcount
            self._pause(began)
            yield Swept(events=events)
            low = high + 1

    def _pause(self, began: float) -> None:
        self._sleep((time.monotonic() - began) * self._rest)

    # --- time partitions

    def prepare(self, today: dt.date, *, monthly: bool) -> list[str]:
        """Make the time partitions of the days to come, where the engine has such."""
        return self._partitions.prepare(today, monthly=monthly) if self._partitions is not None else []


def _at(place: _Place) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return _event.c.topic == place[0], _event.c.partition == place[1]


def _last_before(connection: Connection, place: _Place, day: dt.date, low: int, high: int) -> int:
    """Halve what lies between: all up to `low` is older than the day, and what follows `high` is not asked for."""
    while low < high:
        middle = (low + high + 1) // 2
        found = select(_event.c.archived_on).where(*_at(place), _event.c.sequence == middle)
        archived_on = connection.scalar(found)
        if archived_on is not None and archived_on < day:
            low = middle
        else:
            high = middle - 1
    return low


def _keep_ids(connection: Connection, table: Table, place: _Place, low: int, high: int) -> None:
    id_ = cast(table.c.id, _pruned.c.id.type)
    # Once: an application may have written one outbox row twice, which is one id.
    going = (
        select(id_)
        .distinct()
        .where(
            table.c.topic == place[0],
            table.c.partition == place[1],
            table.c.sequence.between(low, high),
            ~exists().where(_pruned.c.id == id_),
        )
    )
    connection.execute(insert_into(_pruned).from_select([_pruned.c.id], going))
