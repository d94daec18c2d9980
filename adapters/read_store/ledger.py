"""The ledger of skipped events: what somebody decided never to apply, kept for good, in the caller's transaction.

An event is parked before it is skipped, so that what a row tells of a parked event is written and read here for both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, select

from migrations.schema.read_store import skipped_event
from toolkit.core.records import Record
from toolkit.ports import ParkedEvent, SkippedEvent

RECORD = msgspec.msgpack.Decoder(Record)


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
            parked=event_of(row, row.parked_for),
            owner=row.owner,
            reason=row.reason,
            skipped_at=row.skipped_at,
            code_hash=row.code_hash,
        )
        for row in connection.execute(found)
    ]


def columns_of(name: str, number: int, one: ParkedEvent) -> dict[str, object]:
    """A parked event of a version as columns: all but the reason, which the ledger calls otherwise."""
    return {
        "projection": name,
        "version": number,
        "event_id": one.record.envelope.id,
        "topic": one.topic,
        "partition": one.record.partition,
        "sequence": one.record.sequence,
        "key": one.key,
        "held": one.held,
        "parked_at": one.parked_at,
        "record": msgspec.msgpack.encode(one.record),
    }


def event_of(row: Row[Any], reason: str) -> ParkedEvent:
    """The same, read again."""
    return ParkedEvent(
        record=RECORD.decode(row.record),
        topic=row.topic,
        key=row.key,
        reason=reason,
        held=row.held,
        parked_at=row.parked_at,
    )


def _row(name: str, number: int, one: SkippedEvent) -> dict[str, object]:
    return {
        **columns_of(name, number, one.parked),
        "parked_for": one.parked.reason,
        "owner": one.owner,
        "reason": one.reason,
        "skipped_at": one.skipped_at,
        "code_hash": one.code_hash,
    }
