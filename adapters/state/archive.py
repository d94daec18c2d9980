"""The archive in the state database: every event in its order, with its coordinates once it is published."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, Row, Select, func, select

from adapters.engines import bulk_insert, reading, writing
from adapters.state.changes import decode_change, encode_change
from adapters.state.leases import fence
from adapters.state.queries import chunks, query, remove, replace
from adapters.state.unclassified import note
from migrations.schema import state
from toolkit.core.errors import Fault, ProjectError
from toolkit.core.records import Coordinates, Delivery, Draft, Envelope, Record, partition_of
from toolkit.core.unclassified import Unclassified
from toolkit.loops.relay import lease_name
from toolkit.ports import Cursor, ParkedChange

_event = state.event
_encode_names = msgspec.json.Encoder().encode
_decode_names = msgspec.json.Decoder(tuple[str, ...]).decode


class SqlArchive:
    """Implements `toolkit.ports.Archive`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    # --- what a translation step gives

    def append(
        self,
        source: str,
        topic: str,
        drafts: Sequence[Draft],
        *,
        partitions: int,
        epoch: int,
        absorbed: Sequence[int] = (),
        parked: Sequence[ParkedChange] = (),
        unparked: Sequence[ParkedChange] = (),
        cursors: Sequence[Cursor] = (),
        unclassified: Sequence[Unclassified] = (),
    ) -> int:
        """Store what one step gave, in one transaction. Returns how many events are new. Raises Fenced."""
        with writing(self._engine) as connection:
            fence(connection, lease_name(source), epoch)
            fresh = _unknown(connection, topic, drafts)
            if fresh:
                bulk_insert(connection, _event, _rows(connection, topic, fresh, partitions))
            remove(
                connection, state.parked_change, [(source, waiting.change.position) for waiting in unparked]
            )
            replace(connection, state.parked_change, [_parked_row(waiting) for waiting in parked])
            replace(connection, state.cursor, [_cursor_row(source, cursor) for cursor in cursors])
            note(connection, unclassified)
            replace(connection, state.absorbed, [{"source": source, "number": number} for number in absorbed])
        return len(fresh)

    def unmarked(self, source: str) -> list[int]:
        """Change numbers that were absorbed but perhaps not yet marked in the legacy source."""
        table = state.absorbed
        with reading(self._engine) as connection:
            found = select(table.c.number).where(table.c.source == source).order_by(table.c.number)
            return list(connection.scalars(found))

    def forget_unmarked(self, source: str, numbers: Sequence[int]) -> None:
        """These are marked now."""
        with writing(self._engine) as connection:
            remove(connection, state.absorbed, [(source, number) for number in numbers])

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
            return [
                ParkedChange(
                    source=source,
                    change=decode_change(row.change),
                    reason=row.reason,
                    held=row.held,
                    parked_at=row.parked_at,
                )
                for row in connection.execute(found)
            ]

    def parked_subjects(self, source: str) -> set[str]:
        """Subjects with a parked change."""
        table = state.parked_change
        with reading(self._engine) as connection:
            return set(connection.scalars(select(table.c.subject).distinct().where(table.c.source == source)))

    # --- what the relay does

    def unpublished(self, topic: str, limit: int) -> list[Record]:
        """Records without coordinates, by (partition, sequence), evenly over partitions."""
        with reading(self._engine) as connection:
            waiting = list(connection.scalars(query("partitions_unpublished"), {"topic": topic}))
            share = -(-limit // len(waiting)) if waiting else 0
            rows: list[Row[Any]] = []
            for partition in waiting:
                rows.extend(connection.execute(_first_unpublished(topic, partition, share)))
        return [_record(row) for row in rows[:limit]]

    def published(
        self, topic: str, coordinates: Mapping[str, Coordinates], *, source: str, epoch: int
    ) -> None:
        """Write the coordinates that the log acknowledged. Raises Fenced."""
        if not coordinates:
            return
        ids = list(coordinates)
        offsets = [at.offset for at in coordinates.values()]
        with writing(self._engine) as connection:
            fence(connection, lease_name(source), epoch)
            if connection.dialect.name == "postgresql":
                mark = query("mark_published.postgresql")
                connection.execute(mark, {"ids": ids, "offsets": offsets, "topic": topic})
                return
            connection.execute(
                query("mark_published"),
                [
                    {"id": id_, "offset": offset, "topic": topic}
                    for id_, offset in zip(ids, offsets, strict=True)
                ],
            )

    def backlog(self, topic: str) -> int:
        """How many events wait to be published?"""
        waiting = (_event.c.topic == topic) & _event.c.offset.is_(None)
        with reading(self._engine) as connection:
            return connection.scalar(select(func.count()).select_from(_event).where(waiting)) or 0

    def last_sequences(self, topic: str) -> dict[int, int]:
        """Partition to the highest sequence archived."""
        with reading(self._engine) as connection:
            return _last_sequences(connection, topic)

    def watermarked(self, topic: str, as_of: dt.datetime, *, source: str, epoch: int) -> None:
        """Note the instant of the last watermark sent. Raises Fenced."""
        with writing(self._engine) as connection:
            fence(connection, lease_name(source), epoch)
            replace(connection, state.topic, [{"topic": topic, "watermark": as_of}])

    def last_watermark(self, topic: str) -> dt.datetime | None:
        """The instant of the last watermark sent."""
        table = state.topic
        with reading(self._engine) as connection:
            return connection.scalar(select(table.c.watermark).where(table.c.topic == topic))

    # --- what a rebuild reads

    def scan(self, topic: str, after: Mapping[int, int], limit: int) -> list[Delivery]:
        """Published records above `after[partition]` (0 where it is silent), by (partition, sequence)."""
        found: list[Delivery] = []
        with reading(self._engine) as connection:
            for partition in sorted(_last_sequences(connection, topic)):
                if len(found) == limit:
                    break
                rows = connection.execute(
                    select(_event)
                    .where(
                        _event.c.topic == topic,
                        _event.c.partition == partition,
                        _event.c.sequence > after.get(partition, 0),
                        _event.c.offset.is_not(None),
                    )
                    .order_by(_event.c.sequence)
                    .limit(limit - len(found))
                )
                found.extend(_delivery(row) for row in rows)
        return found

    def of_subject(self, topic: str, subject: str) -> list[Record]:
        """All published records of one subject, by (partition, sequence)."""
        found = (
            select(_event)
            .where(_event.c.topic == topic, _event.c.subject == subject, _event.c.offset.is_not(None))
            .order_by(_event.c.partition, _event.c.sequence)
        )
        with reading(self._engine) as connection:
            return [_record(row) for row in connection.execute(found)]

    def touched(self, topic: str, since: dt.datetime) -> set[str]:
        """Subjects with an event whose time is `since` or later."""
        found = select(_event.c.subject).distinct().where(_event.c.topic == topic, _event.c.time >= since)
        with reading(self._engine) as connection:
            return set(connection.scalars(found))


def _unknown(connection: Connection, topic: str, drafts: Sequence[Draft]) -> list[Draft]:
    """The drafts that are not archived yet, each once: a second run of a step adds nothing."""
    by_id = {draft.envelope.id: draft for draft in drafts}
    for ids in chunks(by_id):
        known = connection.execute(select(_event.c.id, _event.c.topic).where(_event.c.id.in_(ids))).all()
        for row in known:
            if row.topic != topic:
                raise _other_topic(row.id, row.topic, topic)
            del by_id[row.id]
    return list(by_id.values())


def _other_topic(event: str, archived: str, topic: str) -> ProjectError:
    """Skipping it as known would leave the new topic without it, in silence."""
    return ProjectError(
        [
            Fault(
                where="project.name",
                what=f"event {event} is for topic {topic}, but was archived for {archived}",
                next="a new topic needs a state database of its own: set state.url, or take the old name back",
            )
        ]
    )


def _rows(
    connection: Connection, topic: str, drafts: Iterable[Draft], partitions: int
) -> list[dict[str, object]]:
    last = _last_sequences(connection, topic)
    rows: list[dict[str, object]] = []
    for draft in drafts:
        partition = partition_of(draft.envelope.subject, partitions)
        last[partition] = last.get(partition, 0) + 1
        rows.append(
            {
                **msgspec.structs.asdict(draft.envelope),
                "topic": topic,
                "partition": partition,
                "sequence": last[partition],
                "data": draft.data,
            }
        )
    return rows


def _last_sequences(connection: Connection, topic: str) -> dict[int, int]:
    return {row.partition: row.last for row in connection.execute(query("partitions"), {"topic": topic})}


def _first_unpublished(topic: str, partition: int, limit: int) -> Select[Any]:
    return (
        select(_event)
        .where(_event.c.topic == topic, _event.c.partition == partition, _event.c.offset.is_(None))
        .order_by(_event.c.sequence)
        .limit(limit)
    )


def _record(row: Row[Any]) -> Record:
    return Record(
        envelope=Envelope(
            id=row.id,
            source=row.source,
            type=row.type,
            subject=row.subject,
            time=row.time,
            version=row.version,
            meaning=row.meaning,
            position=row.position,
            transaction=row.transaction,
        ),
        data=bytes(row.data),
        partition=row.partition,
        sequence=row.sequence,
    )


def _delivery(row: Row[Any]) -> Delivery:
    at = Coordinates(topic=row.topic, partition=row.partition, offset=row.offset)
    return Delivery(at=at, content=_record(row))


def _parked_row(waiting: ParkedChange) -> dict[str, object]:
    return {
        "source": waiting.source,
        "position": waiting.change.position,
        "number": waiting.change.number,
        "subject": waiting.change.subject,
        "reason": waiting.reason,
        "held": waiting.held,
        "parked_at": waiting.parked_at,
        "change": encode_change(waiting.change),
    }


def _cursor_row(source: str, cursor: Cursor) -> dict[str, object]:
    tables = _encode_names(cursor.tables).decode()
    return {
        "source": source,
        "tables": tables,
        "after": cursor.after,
        "done": cursor.done,
        "installation": cursor.installation,
    }
