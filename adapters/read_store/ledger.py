"""The ledger of skipped events: what somebody decided never to apply, kept for good, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, select

from migrations.schema.read_store import skipped_event
from toolkit.core.records import Record
from toolkit.ports import ParkedEvent, SkippedEvent

_RECORD = msgspec.msgpack.Decoder(Record)


def enter(connection: Connection, name: str, number: int, skipped: Sequence[SkippedEvent]) -> None:
    """Add to the ledger of a version. Nothing is ever taken out of it."""
    if skipped:
        connection.execute(skipped_event.insert(), [_row(name, number, one) for one in skipped])


def skipped(connection: Connection, name: str, number: int) -> list[SkippedEvent]:
    """The ledger of a version, by (topic, partition, sequence)."""
    table = skipped_event
    found = (
        select(table)
        .where(table.c.projection == name, table.c.version == number)
        .order_by(table.c.topic, table.c.partition, table.c.sequence)
    )
    return [
        SkippedEvent(
            parked=ParkedEvent(
                record=_RECORD.decode(row.record),
                topic=row.topic,
                key=row.key,
                reason=row.parked_for,
                held=row.held,
                parked_at=row.parked_at,
            ),
            owner=row.owner,
            reason=row.reason,
            skipped_at=row.skipped_at,
            code_hash=row.code_hash,
        )
        for row in connection.execute(found)
    ]


def _row(name: str, number: int, one: SkippedEvent) -> dict[str, object]:
    parked = one.parked
    return {
        "projection": name,
        "version": number,
        "event_id": one.event_id,
        "topic": parked.topic,
        "partition": parked.record.partition,
        "sequence": parked.record.sequence,
        "key": parked.key,
        "parked_for": parked.reason,
        "held": parked.held,
        "parked_at": parked.parked_at,
        "record": msgspec.msgpack.encode(parked.record),
        "owner": one.owner,
        "reason": one.reason,
        "skipped_at": one.skipped_at,
        "code_hash": one.code_hash,
    }
