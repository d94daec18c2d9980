"""What the archive keeps for each shard: the numbers that its last step used up, and how far it has promised."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import msgspec
from sqlalchemy import ColumnElement, Connection, delete, select

from adapters.state.queries import query, replace
from migrations.schema import state
from toolkit.core.records import Record
from toolkit.core.shards import Shard

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[int]).decode


def only_own(shard: Shard, source: str, records: Sequence[Record]) -> None:
    """Raise ValueError for events of another shard: its leader draws the sequences there, and does not know of these."""
    for record in records:
        if not shard.has(record.partition):
            raise ValueError(
                f"{record.envelope.subject} of {source} belongs to partition {record.partition}, which is not one of shard "
                f"{shard}: the database and the toolkit do not agree on the partition of a subject"
            )


def note_used(
    connection: Connection, shard: Shard, source: str, numbers: Sequence[int], *, first: bool
) -> None:
    """Put the numbers of this step in the place of those before. What another division left is marked by the first one."""
    table = state.unmarked
    if first:
        connection.execute(delete(table).where(table.c.source == source, table.c.shards != shard.of))
    row = {"source": source, "shards": shard.of, "shard": shard.number, "numbers": _encode(numbers)}
    connection.execute(query("note_used"), row)


def used(connection: Connection, shard: Shard, source: str) -> list[int]:
    """What the last step used up, and the last steps of leaders of another division: those are gone for good."""
    found = connection.scalars(select(state.unmarked.c.numbers).where(_ours(shard, source)))
    return [number for numbers in found for number in _decode(numbers)]


def _ours(shard: Shard, source: str) -> ColumnElement[bool]:
    table = state.unmarked
    return (table.c.source == source) & ((table.c.shards != shard.of) | (table.c.shard == shard.number))


def promised(connection: Connection, shard: Shard, topic: str, as_of: dt.datetime) -> dt.datetime | None:
    """Note how far a shard has promised; returns how far all of them have: the oldest. None before each one has."""
    if shard.whole:
        return as_of
    table = state.shard_watermark
    row = {"topic": topic, "shards": shard.of, "shard": shard.number, "watermark": as_of}
    replace(connection, table, [row])
    found = select(table.c.watermark).where(table.c.topic == topic, table.c.shards == shard.of)
    known = list(connection.scalars(found))
    return min(known) if len(known) == shard.of else None
