"""A version that several processes write, each the partitions that it claimed: the epochs that keep them apart.

A partition's epoch fences one of them, the version's all of them. Whoever writes holds both until his transaction ends.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import ColumnElement, Connection, and_, bindparam, or_, select, update

from adapters.read_store import bookkeeping
from adapters.read_store.bookkeeping import of
from migrations.schema.read_store import checkpoint, projection
from toolkit.core.errors import Fenced, UsageError
from toolkit.ports import Checkpoint, Claim

Place = tuple[str, int]


def join(connection: Connection, name: str, number: int) -> int:
    """The epoch of all who write the version together; a new one, when it was somebody's alone."""
    now = bookkeeping.version(connection, name, number)
    if now.shared == now.epoch:
        # Without its lock, which is free only when nobody writes; a claim sees whether it is still so.
        return now.epoch
    bookkeeping.take_turn(connection, name, number)
    found = select(projection.c.epoch, projection.c.shared).where(of(projection, name, number))
    row = connection.execute(found.with_for_update()).one()
    if row.shared == row.epoch:
        return int(row.epoch)
    epoch = row.epoch + 1
    raised = update(projection).where(of(projection, name, number))
    connection.execute(raised.values(epoch=epoch, shared=epoch))
    return int(epoch)


def claim(connection: Connection, name: str, number: int, places: Sequence[Place], epoch: int) -> list[Claim]:
    """Raise the epochs of these partitions, and see where they stand. Raises Fenced, UsageError."""
    _hold_version(connection, name, number, epoch)
    here = of(checkpoint, name, number) & at(places)
    before = _locked(connection, name, number, places)
    missing = [f"{topic}[{partition}]" for topic, partition in places if (topic, partition) not in before]
    if missing:
        raise UsageError(
            f"{name} v{number} has no checkpoint for {', '.join(missing)}: it was created for fewer partitions"
        )
    connection.execute(update(checkpoint).where(here).values(epoch=checkpoint.c.epoch + 1))
    rows = connection.execute(
        select(checkpoint).where(here).order_by(checkpoint.c.topic, checkpoint.c.partition)
    )
    return [Claim(checkpoint=bookkeeping.checkpoint_of(row), epoch=row.epoch) for row in rows]


def hold(connection: Connection, name: str, number: int, epoch: int, claims: Mapping[Place, int]) -> None:
    """Hold the partitions until the transaction ends, if they are still ours. Raises Fenced."""
    _hold_version(connection, name, number, epoch)
    current = _locked(connection, name, number, list(claims))
    taken = [f"{at[0]}[{at[1]}]" for at, ours in claims.items() if current.get(at) != ours]
    if taken:
        raise Fenced(
            f"{name} v{number}: another process reads {', '.join(sorted(taken))} by now; nothing was written"
        )


def _hold_version(connection: Connection, name: str, number: int, epoch: int) -> None:
    """So that nobody takes the whole version meanwhile; others who write other partitions of it are not kept waiting."""
    bookkeeping.take_turn(connection, name, number, shared=True)
    found = select(projection.c.epoch).where(of(projection, name, number)).with_for_update(read=True)
    if connection.scalar(found) != epoch:
        raise Fenced(
            f"{name} v{number}: another process has taken over this projection since epoch {epoch}; nothing was written"
        )


def at(places: Iterable[Place]) -> ColumnElement[bool]:
    """The condition that finds these partitions by the whole key: another one's row must not be waited for."""
    numbers: dict[str, list[int]] = defaultdict(list)
    for topic, number in places:
        numbers[topic].append(number)
    table = checkpoint
    return or_(
        *(and_(table.c.topic == topic, table.c.partition.in_(there)) for topic, there in numbers.items())
    )


def _locked(connection: Connection, name: str, number: int, places: Iterable[Place]) -> dict[Place, int]:
    table = checkpoint
    found = connection.execute(
        select(table.c.topic, table.c.partition, table.c.epoch)
        .where(of(table, name, number), at(places))
        .order_by(table.c.topic, table.c.partition)  # always the same, or two would wait for each other
        .with_for_update()
    )
    return {(row.topic, row.partition): row.epoch for row in found}


_NOTE = (
    update(checkpoint)
    .where(
        checkpoint.c.projection == bindparam("of_projection"),
        checkpoint.c.version == bindparam("of_version"),
        checkpoint.c.topic == bindparam("of_topic"),
        checkpoint.c.partition == bindparam("of_partition"),
    )
    .values(
        awaited=bindparam("new_awaited"),
        projected_at=bindparam("now", type_=checkpoint.c.projected_at.type),
    )
)


def note(
    connection: Connection,
    name: str,
    number: int,
    moved: Sequence[Checkpoint],
    awaited: Mapping[Place, int],
    now: dt.datetime,
) -> None:
    """Beside what was moved, when that was, and up to which sequence there are events that have not come yet."""
    if not moved:
        return
    connection.execute(
        _NOTE,
        [
            {
                "of_projection": name,
                "of_version": number,
                "of_topic": one.topic,
                "of_partition": one.partition,
                "new_awaited": awaited.get((one.topic, one.partition), 0),
                "now": now,
            }
            for one in moved
        ],
    )


def forget_written(connection: Connection, name: str, number: int) -> None:
    """One who writes the version has failed: from now on, what is written again is seen by being written at all.

    When it was written would be told by the clocks of several hosts, and none of them is the right one.
    """
    connection.execute(update(checkpoint).where(of(checkpoint, name, number)).values(projected_at=None))


def tell(
    connection: Connection, name: str, number: int, state: str, detail: str, *, epoch: int, now: dt.datetime
) -> None:
    """Say how all are doing, unless one failed and a partition was not written since: who failed knows why. Raises Fenced."""
    bookkeeping.take_turn(connection, name, number)
    found = select(projection).where(of(projection, name, number), projection.c.epoch == epoch)
    row = connection.execute(found.with_for_update()).one_or_none()
    if row is not None and row.state == "failed":
        waits = select(checkpoint.c.partition).where(
            of(checkpoint, name, number), checkpoint.c.projected_at.is_(None)
        )
        if connection.execute(waits.limit(1)).one_or_none() is not None:
            return
    built = now if row is not None and row.built_at is None and state == "running" else None
    values: dict[str, object] = {"state": state, "detail": detail, "updated_at": now}
    bookkeeping.fence(
        connection, name, number, epoch, **(values if built is None else {**values, "built_at": built})
    )


def awaited(connection: Connection, name: str, number: int) -> dict[Place, int]:
    """Partition to the next sequence that it waits for although later ones have come, whoever reads it."""
    table = checkpoint
    found = connection.execute(
        select(table.c.topic, table.c.partition, table.c.sequence)
        .where(of(table, name, number), table.c.awaited > table.c.sequence)
        .order_by(table.c.topic, table.c.partition)
    )
    return {(row.topic, row.partition): row.sequence + 1 for row in found}
