"""The embedded log: topics as tables of the state database. Nothing to install, and the same promises as Kafka's.

Watermarks are one row per partition, not records: an idle source would otherwise fill the log with them.
A consumer gets one when it has been given every record that stood before the end of the log at that time.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, Row, delete, select, update

from adapters.engines import bulk_insert, open_engine, reading, writing
from adapters.log.topics import no_topic, other_partitions
from migrations.schema.state import log_record, log_topic, log_watermark
from toolkit.core import cloudevents
from toolkit.core.errors import OffsetLost
from toolkit.core.records import Coordinates, Delivery, Record, Run, Watermark, runs
from toolkit.settings import LogSection

POLL_INTERVAL = dt.timedelta(milliseconds=50)

PRUNE_CHUNK = 5_000
"""Records that one transaction removes."""

Partition = tuple[str, int]


def open(section: LogSection, state_url: str) -> SqlLog:  # noqa: A001 - what every adapter's factory is called
    """The log of `sql:`, in the state database, or of `sql:URL`, in a database of its own."""
    return SqlLog(open_engine(section.url.removeprefix("sql:") or state_url))


class SqlLog:
    """Implements `toolkit.ports.Log`, and `PrunableLog`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def create(self, topic: str, partitions: int) -> None:
        """Create the topic, or verify that it has just so many partitions. Raises ProjectError."""
        with writing(self._engine) as connection:
            found = _partitions(connection, topic)
            if found is None:
                connection.execute(log_topic.insert(), {"topic": topic, "partitions": partitions})
        if found not in (None, partitions):
            raise other_partitions(topic, found or 0, partitions)

    def partitions(self, topic: str) -> int:
        """How many partitions has the topic? Raises UsageError when there is none."""
        with reading(self._engine) as connection:
            return _known(topic, _partitions(connection, topic))

    def publisher(self, topic: str) -> SqlPublisher:
        """A writer to one topic."""
        return SqlPublisher(self._engine, topic)

    def consumer(self) -> SqlConsumer:
        """A reader of any topics."""
        return SqlConsumer(self._engine)

    def bounds(self, topic: str) -> dict[int, tuple[int, int]]:
        """Partition to (first retained offset, next offset)."""
        with reading(self._engine) as connection:
            known = _known(topic, _partitions(connection, topic))
            return {partition: _bounds(connection, (topic, partition)) for partition in range(known)}

    def before(self, topic: str, instant: dt.datetime) -> dict[int, int]:
        """Partition to the first offset whose event is not older than this instant."""
        return {
            number: self._first_since((topic, number), instant) for number in range(self.partitions(topic))
        }

    def _first_since(self, at: Partition, instant: dt.datetime) -> int:
        """Halve what lies between: times rise about as offsets do."""
        with reading(self._engine) as connection:
            low, high = _bounds(connection, at)
            while low < high:
                middle = (low + high) // 2
                record = connection.execute(_next_records(at, middle, 1)).one()
                content = cloudevents.read_json(bytes(record.content), at[1])
                if isinstance(content, Record) and content.envelope.time < instant:
                    low = middle + 1
                else:
                    high = middle
        return low

    def prune(self, topic: str, firsts: Mapping[int, int]) -> Iterator[int]:
        """Remove all that stands before these offsets, but never a partition's last record: the next one is counted
        from it. A step takes no lock that a publisher or a consumer would wait for.
        """
        for partition, wanted in firsts.items():
            at = (topic, partition)
            while True:
                with writing(self._engine) as connection:
                    first, end = _bounds(connection, at)
                    until = min(wanted, end - 1, first + PRUNE_CHUNK)
                    if first >= until:
                        break
                    gone = connection.execute(_records_before(at, until)).rowcount
                yield gone

    def largest(self, topic: str) -> int | None:  # noqa: ARG002 - the port's
        """As many bytes as a record likes."""
        return None

    def close(self) -> None:
        """Give back the connections."""
        self._engine.dispose()


class SqlPublisher:
    """Implements `toolkit.ports.Publisher`: all records of a call in one transaction."""

    def __init__(self, engine: Engine, topic: str) -> None:
        self._engine = engine
        self._topic = topic

    def publish(self, records: Sequence[Record]) -> list[Run]:
        """Publish in the given order."""
        first: dict[int, Record] = {}
        for record in records:
            first.setdefault(record.partition, record)
        contents = [cloudevents.record_json(record) for record in records]  # before others wait for the lock
        rows: list[dict[str, object]] = []
        with writing(self._engine) as connection:
            # Offsets become visible in their order only because one writer at a time draws them.
            _lock(connection, self._topic)
            begin = {number: _bounds(connection, (self._topic, number))[1] for number in first}
            end = dict(begin)
            for record, content in zip(records, contents, strict=True):
                at = Coordinates(topic=self._topic, partition=record.partition, offset=end[record.partition])
                end[record.partition] += 1
                rows.append(_row(at, content))
            if rows:
                bulk_insert(connection, log_record, rows)
        return [
            run
            for number, record in first.items()
            for run in runs(number, record.sequence, range(begin[number], end[number]))
        ]

    def watermark(self, marks: Mapping[int, Watermark]) -> None:
        """Put a watermark in the place of the former one, in every partition given."""
        table = log_watermark
        with writing(self._engine) as connection:
            _lock(connection, self._topic)
            for partition, mark in marks.items():
                values = {"as_of": mark.as_of, "sequence": mark.sequence}
                here = (table.c.topic == self._topic) & (table.c.partition == partition)
                renewed = update(table).where(here).values(**values, revision=table.c.revision + 1)
                if connection.execute(renewed).rowcount == 0:
                    row = {"topic": self._topic, "partition": partition, **values, "revision": 1}
                    connection.execute(table.insert(), row)

    def close(self) -> None:
        """Nothing of the publisher's own is open."""


@dataclass(slots=True)
class _Position:
    """Where a consumer stands in one partition, and the watermark it is on its way to."""

    offset: int
    revision: int = 0
    due: Watermark | None = None
    due_at: int = 0


class SqlConsumer:
    """Implements `toolkit.ports.Consumer`: asks the tables, and asks again until there is something."""

    def __init__(self, engine: Engine, pause: Callable[[float], None] = time.sleep) -> None:
        self._engine = engine
        self._pause = pause
        self._positions: dict[Partition, _Position] = {}

    def assign(self, offsets: Mapping[Partition, int]) -> None:
        """Read from these offsets. Raises OffsetLost when the log does not hold one of them."""
        with reading(self._engine) as connection:
            for (topic, partition), offset in offsets.items():
                first, end = _bounds(connection, (topic, partition))
                if not first <= offset <= end:
                    raise OffsetLost(topic, partition, offset, (first, end))
        self._positions = {at: _Position(offset) for at, offset in offsets.items()}

    def poll(self, limit: int, timeout: dt.timedelta) -> list[Delivery]:
        """Up to `limit` deliveries, each partition's in order; returns early with what there is."""
        deadline = time.monotonic() + timeout.total_seconds()
        while not (found := self._look(limit)):
            left = deadline - time.monotonic()
            if left <= 0:
                break
            self._pause(min(left, POLL_INTERVAL.total_seconds()))
        return found

    def close(self) -> None:
        """Forget the assignment."""
        self._positions = {}

    def _look(self, limit: int) -> list[Delivery]:
        found: list[Delivery] = []
        with reading(self._engine) as connection:
            for number, (at, position) in enumerate(self._rotated()):
                share = -(-(limit - len(found)) // (len(self._positions) - number))
                if share > 0:
                    found.extend(self._read(connection, at, position, share))
        return found

    def _rotated(self) -> list[tuple[Partition, _Position]]:
        """The positions; who was first comes last the next time, so that a small limit starves nobody."""
        items = list(self._positions.items())
        self._positions = dict(items[1:] + items[:1])
        return items

    def _read(self, connection: Connection, at: Partition, position: _Position, limit: int) -> list[Delivery]:
        self._note_watermark(connection, at, position)
        found = self._reached(at, position)
        rows = connection.execute(_next_records(at, position.offset, limit - len(found))).all()
        if rows:
            if rows[0].offset != position.offset:  # offsets have no gaps: what lay between was pruned
                raise OffsetLost(*at, position.offset, _bounds(connection, at))
            position.offset = rows[-1].offset + 1
            found.extend(_delivery(at, row) for row in rows)
        return found + self._reached(at, position) if len(found) < limit else found

    def _reached(self, at: Partition, position: _Position) -> list[Delivery]:
        """The watermark that is due, once all is given that it speaks of."""
        mark = position.due
        if mark is None or position.offset < position.due_at:
            return []
        position.due = None
        # It has no offset of its own: the position after it is the one before it.
        stands = Coordinates(topic=at[0], partition=at[1], offset=position.offset - 1)
        return [Delivery(at=stands, content=mark)]

    def _note_watermark(self, connection: Connection, at: Partition, position: _Position) -> None:
        """Take on a new watermark, unless one is still due: under steady load a newer one would never be reached."""
        if position.due is not None:
            return
        row = connection.execute(_new_watermark(at, position.revision)).one_or_none()
        if row is not None:
            position.revision = row.revision
            position.due = Watermark(as_of=row.as_of, sequence=row.sequence)
            position.due_at = _bounds(connection, at)[1]


def _known(topic: str, partitions: int | None) -> int:
    if partitions is None:
        raise no_topic(topic)
    return partitions


def _partitions(connection: Connection, topic: str) -> int | None:
    return connection.scalar(select(log_topic.c.partitions).where(log_topic.c.topic == topic))


def _lock(connection: Connection, topic: str) -> None:
    found = select(log_topic.c.partitions).where(log_topic.c.topic == topic).with_for_update()
    _known(topic, connection.scalar(found))


def _bounds(connection: Connection, at: Partition) -> tuple[int, int]:
    here = (log_record.c.topic == at[0]) & (log_record.c.partition == at[1])
    # Two ordered subqueries: an index probe each. For min() and max() PostgreSQL reads the partition as long as it has no
    # statistics of a table that has just been filled.
    found = select(log_record.c.offset).where(here).limit(1)
    first = found.order_by(log_record.c.offset).scalar_subquery()
    last = found.order_by(log_record.c.offset.desc()).scalar_subquery()
    row = connection.execute(select(first, last)).one()
    return (0, 0) if row[0] is None else (row[0], row[1] + 1)


def _next_records(at: Partition, offset: int, limit: int) -> Any:
    table = log_record
    return (
        select(table.c.offset, table.c.content)
        .where(table.c.topic == at[0], table.c.partition == at[1], table.c.offset >= offset)
        .order_by(table.c.offset)
        .limit(limit)
    )


def _records_before(at: Partition, offset: int) -> Any:
    table = log_record
    return delete(table).where(table.c.topic == at[0], table.c.partition == at[1], table.c.offset < offset)


def _new_watermark(at: Partition, revision: int) -> Any:
    table = log_watermark
    return select(table).where(
        table.c.topic == at[0], table.c.partition == at[1], table.c.revision > revision
    )


def _row(at: Coordinates, content: bytes) -> dict[str, object]:
    return {
        "topic": at.topic,
        "partition": at.partition,
        "offset": at.offset,
        "content": content,
    }


def _delivery(at: Partition, row: Row[Any]) -> Delivery:
    stands = Coordinates(topic=at[0], partition=at[1], offset=row.offset)
    return Delivery(at=stands, content=cloudevents.read_json(bytes(row.content), at[1]))
