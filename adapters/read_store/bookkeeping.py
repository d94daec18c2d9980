"""Versions, checkpoints and parked events: the rows beside the rows, always in the caller's transaction."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Table,
    and_,
    bindparam,
    case,
    delete,
    func,
    select,
    update,
)

from adapters.read_store import ledger
from adapters.read_store.engine import EngineOfRows
from migrations.schema.read_store import checkpoint, parked_event, projection, skipped_event
from toolkit.core.errors import Fenced, UsageError
from toolkit.ports import Batch, Checkpoint, ParkedEvent, VersionState


def of(table: Table, name: str, version: int) -> ColumnElement[bool]:
    """The condition that a bookkeeping row belongs to one version of a projection."""
    return and_(table.c.projection == name, table.c.version == version)


def versions(connection: Connection, name: str | None = None) -> list[VersionState]:
    """All versions, or those of one projection, in order."""
    found = select(projection, _LAST.label("last")).order_by(projection.c.projection, projection.c.version)
    if name is not None:
        found = found.where(projection.c.projection == name)
    return [_state(row) for row in connection.execute(found)]


# When one of several processes wrote last stands beside what it wrote, or each would wait for the others there.
_LAST = (
    select(func.max(checkpoint.c.projected_at))
    .where(checkpoint.c.projection == projection.c.projection, checkpoint.c.version == projection.c.version)
    .scalar_subquery()
)


def _state(row: Row[Any]) -> VersionState:
    values = dict(row._mapping)
    last = values.pop("last")
    if last is not None:
        for name in ("projected_at", "updated_at"):
            values[name] = last if values[name] is None else max(values[name], last)
    return VersionState(**values)


def version(connection: Connection, name: str, number: int) -> VersionState:
    """One version. Raises UsageError when the store does not have it."""
    known = versions(connection, name)
    for one in known:
        if one.version == number:
            return one
    there = ", ".join(f"v{one.version}" for one in known) or "none"
    raise UsageError(
        f"the read store has no {name} v{number} (it has: {there}): run `strangler project` or `strangler rebuild` first"
    )


def knows(connection: Connection, name: str, number: int) -> bool:
    """Does the store have this version?"""
    return any(one.version == number for one in versions(connection, name))


def enter(
    connection: Connection, name: str, number: int, topics: Mapping[str, int], now: dt.datetime
) -> None:
    """Enter a version with a checkpoint for every partition, as far as they are not there; the first one serves."""
    known = versions(connection, name)
    if all(one.version != number for one in known):
        connection.execute(
            projection.insert().values(
                projection=name,
                version=number,
                serving=not any(one.serving for one in known),
                # Not 0: whoever owned a version of this name that was dropped must not be taken for the owner of this one.
                epoch=int(now.timestamp() * 1_000_000),
                shared=0,
                state="building",
                detail="",
                updated_at=now,
            )
        )
    there = {(one.topic, one.partition) for one in checkpoints(connection, name, number)}
    missing = [
        {
            "projection": name,
            "version": number,
            "topic": topic,
            "partition": at,
            "next_offset": 0,
            "sequence": 0,
            "epoch": 0,
            "awaited": 0,
        }
        for topic, partitions in topics.items()
        for at in range(partitions)
        if (topic, at) not in there
    ]
    if missing:
        connection.execute(checkpoint.insert(), missing)


def take_turn(connection: Connection, name: str, number: int, *, shared: bool = False) -> None:
    """Before the version's row is locked. PostgreSQL lets whoever only shares a row pass by one who waits to change it,
    for ever where several write without a pause; its advisory locks have a queue.
    """
    if connection.dialect.name == "postgresql":
        kind = "_shared" if shared else ""
        connection.exec_driver_sql(
            f"SELECT pg_advisory_xact_lock{kind}(hashtext(%s), %s)", (f"strangler version {name}", number)
        )


def seize(connection: Connection, name: str, number: int) -> int:
    """Raise the epoch and return it."""
    take_turn(connection, name, number)
    raised = update(projection).where(of(projection, name, number)).values(epoch=projection.c.epoch + 1)
    connection.execute(raised)
    return version(connection, name, number).epoch  # ours: the row is locked until the transaction ends


def fence(connection: Connection, name: str, number: int, epoch: int, **values: object) -> None:
    """Hold the version's row until the transaction ends, if the epoch is still ours. Raises Fenced."""
    held = connection.execute(
        update(projection).where(of(projection, name, number), projection.c.epoch == epoch).values(**values)
    )
    if held.rowcount != 1:
        raise Fenced(
            f"{name} v{number}: another process has taken over this projection since epoch {epoch}; nothing was written"
        )


def checkpoints(connection: Connection, name: str, number: int) -> list[Checkpoint]:
    """How far a version has come, by (topic, partition)."""
    found = connection.execute(
        select(checkpoint)
        .where(of(checkpoint, name, number))
        .order_by(checkpoint.c.topic, checkpoint.c.partition)
    )
    return [checkpoint_of(row) for row in found]


def checkpoint_of(row: Row[Any]) -> Checkpoint:
    """How far a version has come in the partition of this row."""
    return Checkpoint(
        topic=row.topic,
        partition=row.partition,
        next_offset=row.next_offset,
        sequence=row.sequence,
        as_of=row.as_of,
    )


_MOVE = (
    update(checkpoint)
    .where(
        checkpoint.c.projection == bindparam("of_projection"),
        checkpoint.c.version == bindparam("of_version"),
        checkpoint.c.topic == bindparam("of_topic"),
        checkpoint.c.partition == bindparam("of_partition"),
    )
    .values(
        next_offset=bindparam("new_offset"),
        sequence=bindparam("new_sequence"),
        as_of=bindparam("new_as_of", type_=checkpoint.c.as_of.type),
    )
)


def move(connection: Connection, name: str, number: int, moved: Sequence[Checkpoint]) -> None:
    """Write checkpoints. Raises UsageError for a partition that the version does not have."""
    if not moved:
        return
    written = connection.execute(
        _MOVE,
        [
            {
                "of_projection": name,
                "of_version": number,
                "of_topic": one.topic,
                "of_partition": one.partition,
                "new_offset": one.next_offset,
                "new_sequence": one.sequence,
                "new_as_of": one.as_of,
            }
            for one in moved
        ],
    )
    if written.rowcount not in (len(moved), -1):
        raise UsageError(f"{name} v{number} has no checkpoint for a partition it is given: create it first")


def park(connection: Connection, rows: EngineOfRows, name: str, number: int, batch: Batch) -> None:
    """Write and remove parked events; one that is parked already keeps its place and gets the new reason."""
    ledger.enter(connection, name, number, batch.skipped)
    gone = [*batch.unparked, *(one.event_id for one in batch.skipped)]
    if gone:
        connection.execute(
            delete(parked_event).where(
                of(parked_event, name, number), parked_event.c.event_id == bindparam("applied")
            ),
            [{"applied": event} for event in gone],
        )
    if batch.parked:
        waiting = [{**ledger.columns_of(name, number, one), "reason": one.reason} for one in batch.parked]
        rows.put(connection, parked_event, waiting, ("key", "reason", "held"))


def parked(connection: Connection, name: str, number: int) -> list[ParkedEvent]:
    """A version's parked events by (topic, partition, sequence)."""
    table = parked_event
    found = connection.execute(
        select(table)
        .where(of(table, name, number))
        .order_by(table.c.topic, table.c.partition, table.c.sequence)
    )
    return [ledger.event_of(row, row.reason) for row in found]


def left_out(connection: Connection, name: str, number: int) -> tuple[list[str], list[str]]:
    """The ids of the events that a version's rows lack: those that are parked, and those that are skipped."""
    parked, passed = (
        connection.scalars(
            select(table.c.event_id)
            .where(of(table, name, number))
            .order_by(table.c.topic, table.c.partition, table.c.sequence)
        ).all()
        for table in (parked_event, skipped_event)
    )
    return list(parked), sorted(passed)


def parked_count(connection: Connection, name: str, number: int) -> int:
    """How many events are parked in a version."""
    count = select(func.count()).select_from(parked_event).where(of(parked_event, name, number))
    return int(connection.scalar(count) or 0)


_HELD = (
    select(
        parked_event.c.key,
        # The records, which are long, are only looked at where they alone know the subject.
        case((parked_event.c.key.is_(None), parked_event.c.record)).label("record"),
    )
    .distinct()
    .where(
        parked_event.c.projection == bindparam("of_projection"),
        parked_event.c.version == bindparam("of_version"),
    )
)


def held_keys(connection: Connection, name: str, number: int) -> list[str]:
    """Keys with a parked event; where its key is not known, its subject."""
    found = connection.execute(_HELD, {"of_projection": name, "of_version": number})
    return sorted(
        {
            row.key if row.key is not None else ledger.RECORD.decode(row.record).envelope.subject
            for row in found
        }
    )


_STANDING = (
    select(projection.c.serving, checkpoint)
    .join(
        projection,
        and_(
            projection.c.projection == checkpoint.c.projection, projection.c.version == checkpoint.c.version
        ),
    )
    .where(checkpoint.c.projection.in_(bindparam("names", expanding=True)))
    .order_by(checkpoint.c.topic, checkpoint.c.partition)
)


def standing(
    connection: Connection, names: Sequence[str], chosen: Mapping[str, int]
) -> dict[str, tuple[int, list[Checkpoint]]]:
    """By projection, the version that answers (the chosen one, else the serving one) and how far it has come."""
    found: dict[str, tuple[int, list[Checkpoint]]] = {}
    for row in connection.execute(_STANDING, {"names": list(names)}):
        wanted = row.serving if row.projection not in chosen else row.version == chosen[row.projection]
        if wanted:
            found.setdefault(row.projection, (row.version, []))[1].append(checkpoint_of(row))
    return found


def begin_anew(connection: Connection, name: str, number: int) -> None:
    """The rows of a version are gone: nothing is built, and nobody who wrote it before owns it. What serves, serves.

    What people skipped stays skipped.
    """
    for table in (parked_event, checkpoint):
        connection.execute(delete(table).where(of(table, name, number)))
    nothing = {"state": "building", "detail": "", "built_at": None, "projected_at": None}
    anew = update(projection).where(of(projection, name, number))
    connection.execute(anew.values(epoch=projection.c.epoch + 1, **nothing))


def forget(connection: Connection, name: str, number: int) -> None:
    """Remove all that is known of a version."""
    for table in (parked_event, checkpoint, projection):
        connection.execute(delete(table).where(of(table, name, number)))
