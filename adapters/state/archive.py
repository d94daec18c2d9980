"""The archive in the state database: every event in its order, with its coordinates once it is published."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence

import msgspec
from sqlalchemy import Connection, Engine, bindparam, select, update

from adapters.engines import reading, writing
from adapters.state import events, shards
from adapters.state.changes import decode_change, encode_change
from adapters.state.leases import alone, fence
from adapters.state.queries import query, remove, replace
from adapters.state.unclassified import note
from migrations.schema import state
from migrations.schema.types import Instant
from toolkit import commands
from toolkit.core.errors import Fault, HistoryGone, ProjectError
from toolkit.core.records import Delivery, Draft, Record, Run, partition_of
from toolkit.core.shards import WHOLE, Shard
from toolkit.core.unclassified import Unclassified
from toolkit.loops.relay import lease_name
from toolkit.ports import Cursor, ParkedChange

_promise = query("promise").bindparams(bindparam("watermark", type_=Instant()))
LOOKED_INTO = 1_000
"""Parked changes whose tables are read for a look at their subjects."""


class _Table(msgspec.Struct):
    table: str


_decode_table = msgspec.json.Decoder(_Table).decode
_encode_names = msgspec.json.Encoder().encode
_decode_names = msgspec.json.Decoder(tuple[str, ...]).decode


class SqlArchive:
    """Implements `toolkit.ports.Archive`, for all of a source or for one shard of it."""

    def __init__(self, engine: Engine, shard: Shard = WHOLE) -> None:
        self._engine, self._shard = engine, shard

    def only(self, shard: Shard) -> SqlArchive:
        """The same archive for the leader of one shard: what it holds back, publishes and promises is its own."""
        return SqlArchive(self._engine, shard)

    # --- what a translation step gives

    def append(
        self,
        source: str,
        topic: str,
        drafts: Sequence[Draft],
        *,
        partitions: int,
        epoch: int,
        doubtful: bool = True,
        used: Sequence[int] = (),
        parked: Sequence[ParkedChange] = (),
        unparked: Sequence[ParkedChange] = (),
        cursors: Sequence[Cursor] = (),
        unclassified: Sequence[Unclassified] = (),
    ) -> list[Record]:
        """Store what one step gave, in one transaction. Returns the events that are new. Raises Fenced."""
        with writing(self._engine) as connection:
            self._led(connection, source, epoch, "append")
            if doubtful:
                _only_topic(connection, source, topic)
                drafts = events.unknown(connection, topic, drafts)
            known = _sequences(connection, topic) if drafts else {}
            records = _numbered(drafts, known, partitions)
            shards.only_own(self._shard, source, records)
            events.insert(connection, topic, records)
            remove(
                connection, state.parked_change, [(source, waiting.change.position) for waiting in unparked]
            )
            replace(connection, state.parked_change, [_parked_row(waiting) for waiting in parked])
            replace(connection, state.cursor, [_cursor_row(source, cursor) for cursor in cursors])
            note(connection, unclassified)
            shards.note_used(connection, self._shard, source, used, first=doubtful)
            # Last: what is published of those before is noted in the same rows, beside this.
            _note_archived(connection, topic, known, records)
        return records

    def unmarked(self, source: str) -> list[int]:
        """Numbers of the changes that the last step used up; perhaps they are not marked in the legacy source yet."""
        with reading(self._engine) as connection:
            return shards.used(connection, self._shard, source)

    def cursors(self, source: str) -> list[Cursor]:
        """How far each backfill has come."""
        table = state.cursor
        with reading(self._engine) as connection:
            found = select(table).where(table.c.source == source).order_by(table.c.tables)
            return [
                Cursor(
                    tables=_decode_names(row.tables),
                    after=row.after,
                    done=row.done,
                    installation=row.installation,
                )
                for row in connection.execute(found)
            ]

    def parked(self, source: str) -> list[ParkedChange]:
        """Changes that wait, in order of their number."""
        table = state.parked_change
        with reading(self._engine) as connection:
            found = select(table).where(table.c.source == source).order_by(table.c.number, table.c.position)
            waiting = [
                ParkedChange(
                    source=source,
                    change=decode_change(row.change),
                    reason=row.reason,
                    held=row.held,
                    parked_at=row.parked_at,
                )
                for row in connection.execute(found)
            ]
        return [one for one in waiting if self._shard.owns(one.change.subject)]

    def parked_subjects(self, source: str) -> dict[str, frozenset[str]]:
        """Subjects with a parked change, each with the tables of its changes; without, where there are too many."""
        table = state.parked_change
        of_source = table.c.source == source
        with reading(self._engine) as connection:
            some = connection.execute(
                select(table.c.subject, table.c.change).where(of_source).limit(LOOKED_INTO + 1)
            ).all()
            if len(some) > LOOKED_INTO:
                every = connection.scalars(select(table.c.subject).distinct().where(of_source))
                return dict.fromkeys(every, frozenset())
        found: dict[str, frozenset[str]] = {}
        for row in some:
            found[row.subject] = found.get(row.subject, frozenset()) | {_decode_table(row.change).table}
        return found

    # --- what the relay does

    def unpublished(self, topic: str, limit: int) -> list[Record]:
        """Records without coordinates, by (partition, sequence), evenly over partitions."""
        found: list[Record] = []
        with reading(self._engine) as connection:
            known = self._own(_sequences(connection, topic))
            waiting = {number: one for number, one in known.items() if one.archived > one.published}
            share = -(-limit // len(waiting)) if waiting else 0
            for partition, one in waiting.items():
                found.extend(events.after(connection, topic, partition, one.published, one.archived, share))
        return found[:limit]

    def published(self, topic: str, runs: Sequence[Run], *, source: str, epoch: int) -> None:
        """Note where the log keeps what it acknowledged. Coordinates never change afterwards. Raises Fenced."""
        if not runs:
            return
        with writing(self._engine) as connection:
            self._led(connection, source, epoch, "publish")
            ends = {number: one.published for number, one in _sequences(connection, topic).items()}
            new: list[Run] = []
            for run in runs:
                end = ends[run.partition]
                if run.sequence > end + 1:
                    raise ValueError(f"{topic}[{run.partition}]: {run} leaves out what follows {end}")
                if run.last > end:
                    new.append(run.beyond(end))
                    ends[run.partition] = run.last
            events.note(connection, topic, new)
            _move(connection, topic, "published", {run.partition: ends[run.partition] for run in new})

    def backlog(self, topic: str) -> int:
        """How many events wait to be published?"""
        with reading(self._engine) as connection:
            known = self._own(_sequences(connection, topic))
            return sum(one.archived - one.published for one in known.values())

    def published_to(self, topic: str) -> dict[int, int] | None:
        """Partition to the highest sequence archived, if all of them are published; None while some wait."""
        with reading(self._engine) as connection:
            known = self._own(_sequences(connection, topic))
        if any(one.archived > one.published for one in known.values()):
            return None
        return {number: one.archived for number, one in known.items()}

    def last_sequences(self, topic: str) -> dict[int, int]:
        """Partition to the highest sequence archived."""
        with reading(self._engine) as connection:
            known = self._own(_sequences(connection, topic))
            return {number: one.archived for number, one in known.items()}

    def watermarked(self, topic: str, as_of: dt.datetime, *, source: str, epoch: int) -> None:
        """Note the instant of the last watermark sent. Raises Fenced."""
        with writing(self._engine) as connection:
            self._led(connection, source, epoch, "publish")
            promised = shards.promised(connection, self._shard, topic, as_of)
            if promised is not None:
                connection.execute(_promise, {"topic": topic, "source": source, "watermark": promised})

    def last_watermark(self, topic: str) -> dt.datetime | None:
        """The instant of the last watermark sent: of several shards, the oldest."""
        table = state.topic
        with reading(self._engine) as connection:
            return connection.scalar(select(table.c.watermark).where(table.c.topic == topic))

    def _led(self, connection: Connection, source: str, epoch: int, what: str) -> None:
        """Only its leader writes here, and does one thing of a kind at a time. Raises Fenced."""
        lease = lease_name(source, self._shard)
        fence(connection, lease, epoch)
        alone(connection, f"{lease} {what}")

    def _own(self, known: Mapping[int, _Sequence]) -> dict[int, _Sequence]:
        return {number: one for number, one in known.items() if self._shard.has(number)}

    # --- what a rebuild reads

    def scan(
        self, topic: str, after: Mapping[int, int], limit: int, unheard: Collection[str] = ()
    ) -> list[Delivery]:
        """Published records above `after[partition]` (0 where it is silent), by (partition, sequence).

        Of the types that are `unheard` only Passed is told, with the last sequence of each stretch of them.
        """
        found: list[Delivery] = []
        with reading(self._engine) as connection:
            for partition, one in _sequences(connection, topic).items():
                low, left = after.get(partition, 0), limit - len(found)
                if left > 0 and one.published > low:
                    page = events.heard(connection, topic, partition, low, one.published, left, unheard)
                    # A time partition may have been dropped after this transaction's snapshot was taken.
                    if low < one.pruned or not events.whole(connection, topic, partition, low, page):
                        raise _gone(topic, partition, low, one.pruned)
                    found.extend(events.placed(connection, topic, partition, page))
        return found

    def of_subject(self, topic: str, subject: str) -> list[Record]:
        """The published records of one subject that are kept, by (partition, sequence)."""
        with reading(self._engine) as connection:
            known = _sequences(connection, topic)
            return [
                record
                for record in events.of_subject(connection, topic, subject)
                if known[record.partition].pruned < record.sequence <= known[record.partition].published
            ]

    def pruned(self, topic: str) -> dict[int, int]:
        """Partition to the sequence up to which its events are gone."""
        with reading(self._engine) as connection:
            return {number: one.pruned for number, one in _sequences(connection, topic).items()}

    def offsets(self, topic: str, sequences: Mapping[int, int]) -> dict[int, int]:
        """Partition to where the log got the event with this sequence."""
        with reading(self._engine) as connection:
            known = _sequences(connection, topic)
            return {
                partition: events.offset_of(connection, topic, partition, sequence)
                for partition, sequence in sequences.items()
                if partition in known and 0 < sequence <= known[partition].published
            }

    def touched(self, topic: str, since: dt.datetime) -> set[str]:
        """Subjects with an event whose time is `since` or later."""
        table = state.event
        found = select(table.c.subject).distinct().where(events.of_topic(topic), table.c.time >= since)
        with reading(self._engine) as connection:
            return set(connection.scalars(found))


class _Sequence(msgspec.Struct, frozen=True):
    """How far a partition is archived, published, and pruned."""

    archived: int
    published: int
    pruned: int


def _sequences(connection: Connection, topic: str) -> dict[int, _Sequence]:
    table = state.sequence
    columns = (table.c.partition, table.c.archived, table.c.published, table.c.pruned)
    rows = connection.execute(select(*columns).where(table.c.topic == topic).order_by(table.c.partition))
    return {partition: _Sequence(*numbers) for partition, *numbers in rows}


def _gone(topic: str, partition: int, low: int, pruned: int) -> HistoryGone:
    return HistoryGone(
        f"{topic}[{partition}]: event {low + 1} is asked for, but the archive was pruned up to event {pruned}",
        [f"`{commands.ARCHIVE_STATUS}` says what is kept"],
    )


def _numbered(drafts: Sequence[Draft], known: Mapping[int, _Sequence], partitions: int) -> list[Record]:
    """Give each draft its partition and the next sequence there."""
    last = {partition: one.archived for partition, one in known.items()}
    records = []
    for draft in drafts:
        partition = partition_of(draft.envelope.subject, partitions)
        sequence = last[partition] = last.get(partition, 0) + 1
        records.append(
            Record(envelope=draft.envelope, data=draft.data, partition=partition, sequence=sequence)
        )
    return records


def _note_archived(
    connection: Connection, topic: str, known: Mapping[int, _Sequence], records: Sequence[Record]
) -> None:
    """Note how far these go."""
    last = {record.partition: record.sequence for record in records}
    fresh = [
        {"topic": topic, "partition": at, "archived": end, "published": 0}
        for at, end in last.items()
        if at not in known
    ]
    if fresh:
        connection.execute(state.sequence.insert(), fresh)
    _move(connection, topic, "archived", {at: end for at, end in last.items() if at in known})


def _move(connection: Connection, topic: str, column: str, ends: Mapping[int, int]) -> None:
    """Note how far some partitions are archived, or published."""
    table = state.sequence
    here = (table.c.topic == bindparam("of_topic")) & (table.c.partition == bindparam("at_partition"))
    if ends:
        connection.execute(
            update(table).where(here).values({column: bindparam("to")}),
            # Always in one order, as who prunes does: none waits for the other in a circle.
            [{"of_topic": topic, "at_partition": at, "to": end} for at, end in sorted(ends.items())],
        )


def _only_topic(connection: Connection, source: str, topic: str) -> None:
    """Note the source's topic. With another one, its history would be missing there, in silence. Raises ProjectError."""
    table = state.topic
    known = list(connection.scalars(select(table.c.topic).where(table.c.source == source)))
    if not known:  # another shard may note it at the same time
        connection.execute(query("know_topic"), {"topic": topic, "source": source})
    elif known != [topic]:
        raise ProjectError(
            [
                Fault(
                    where="project.name",
                    what=f"events of {source} are for topic {topic}, but its history was archived for {known[0]}",
                    next="a new topic needs a state database of its own: set state.url, or take the old name back",
                )
            ]
        )


def _parked_row(waiting: ParkedChange) -> dict[str, object]:
    return {
        "source": waiting.source,
        "position": waiting.change.position,
        "number": waiting.change.number,
        "subject": _shown(waiting.change.subject),
        "reason": _shown(waiting.reason),
        "held": waiting.held,
        "parked_at": waiting.parked_at,
        "change": encode_change(waiting.change),
    }


def _shown(text: str) -> str:
    """For people: what no engine can keep as text is what was parked, and the change itself is kept as JSON."""
    return text.replace("\x00", "\ufffd").encode(errors="replace").decode()


def _cursor_row(source: str, cursor: Cursor) -> dict[str, object]:
    tables = _encode_names(cursor.tables).decode()
    return {
        "source": source,
        "tables": tables,
        "after": cursor.after,
        "done": cursor.done,
        "installation": cursor.installation,
    }
