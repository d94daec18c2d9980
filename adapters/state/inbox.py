"""The inbox in the state database: fetched changes in their order, positions, and rows as they were last seen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import msgspec
from sqlalchemy import (
    CompoundSelect,
    Connection,
    Engine,
    bindparam,
    delete,
    func,
    insert,
    select,
    union_all,
    update,
)

from adapters.engines import bulk_insert, reading, writing
from adapters.state.changes import decode_change, encode_change
from adapters.state.queries import chunks, remove, replace
from migrations.schema import state
from toolkit.core.changes import Change
from toolkit.core.errors import Fenced
from toolkit.inbox import Seen

_NUMBER = "number"
"""The position that counts: its row is locked by every `put`, so that numbers come in the order of the commits."""
_HIGHEST = "\U0010ffff"
_RANGES = 50
"""Ranges of keys in one statement, each found by the index: joined by OR, SQLite would rather read the whole table."""


@cache
def _ranges(count: int) -> CompoundSelect[Any]:
    rows = state.seen
    return union_all(
        *(
            select(rows).where(
                rows.c.source == bindparam("source"),
                rows.c.table_name == bindparam("table"),
                rows.c.key >= bindparam(f"low{at}"),
                rows.c.key <= bindparam(f"high{at}"),
            )
            for at in range(count)
        )
    )


def _seen(rows: Iterable[Any]) -> list[Seen]:
    return [Seen(table=row.table_name, key=row.key, image=bytes(row.image)) for row in rows]


class SqlInbox:
    """Implements `toolkit.inbox.Inbox` for one source."""

    def __init__(self, engine: Engine, source: str) -> None:
        self._engine, self._source = engine, source

    def position(self, name: str) -> str | None:
        """What was last put under this name."""
        with reading(self._engine) as connection:
            return self._position(connection, name)

    def put(
        self,
        changes: Sequence[Change],
        *,
        moved: Mapping[str, tuple[str | None, str]],
        seen: Sequence[Seen] = (),
        gone: Sequence[tuple[str, str]] = (),
    ) -> list[Change]:
        """Store one step, in one transaction. Raises Fenced when a position is not the old one any more."""
        with writing(self._engine) as connection:
            last = self._draw(connection, len(changes))
            for name, (was, becomes) in moved.items():
                self._move(connection, name, was, becomes)
            numbered = [
                msgspec.structs.replace(change, number=last + at)
                for at, change in enumerate(changes, start=1)
            ]
            if numbered:
                bulk_insert(connection, state.inbox, [self._row(change) for change in numbered])
            remove(connection, state.seen, [(self._source, *key) for key in gone])
            replace(connection, state.seen, [self._seen_row(one) for one in seen])
        return numbered

    def pending(
        self, limit: int, leave: Callable[[Change], bool] = lambda _: False, *, up_to: int | None = None
    ) -> list[Change]:
        """Changes by number, without those to `leave`; what one transaction did to one subject is never cut in two."""
        after: int | None = None
        with reading(self._engine) as connection:
            while True:
                held = self._head(connection, limit, after=after, up_to=up_to)
                kept = [change for change in held if not leave(change)]
                if len(held) < limit:
                    return kept
                if not kept:  # page by page: however many are to be left, no more are in memory
                    after = held[-1].number
                elif offered := self._whole(connection, kept, held[-1]):
                    return offered
                else:  # one transaction did more than `limit` to one subject
                    after, limit = kept[0].number - 1, limit * 2

    def walk(self, after: int, limit: int) -> list[Change]:
        """Changes above a number, to look through all of them."""
        with reading(self._engine) as connection:
            return self._head(connection, limit, after=after)

    def of(self, subjects: Iterable[str]) -> list[Change]:
        """Changes of these subjects, by number."""
        table = state.inbox
        found: list[Change] = []
        with reading(self._engine) as connection:
            for some in chunks(subjects):
                mine = select(table.c.change).where(table.c.source == self._source, table.c.subject.in_(some))
                found += (decode_change(change) for change in connection.scalars(mine))
        return sorted(found, key=lambda change: change.number)

    def waiting(self, up_to: int | None = None) -> int:
        """How many changes are not marked?"""
        table = state.inbox
        found = select(func.count()).select_from(table).where(table.c.source == self._source)
        if up_to is not None:
            found = found.where(table.c.number <= up_to)
        with reading(self._engine) as connection:
            return connection.scalar(found) or 0

    def last(self) -> int:
        """The highest number that was given."""
        return int(self.position(_NUMBER) or 0)

    def mark(self, numbers: Iterable[int]) -> None:
        """Never offer these again."""
        with writing(self._engine) as connection:
            remove(connection, state.inbox, [(self._source, number) for number in numbers])

    def seen(self, table: str, *, after: str = "", up_to: str | None = None, limit: int) -> list[Seen]:
        """Rows of a table as last seen, by key."""
        rows = state.seen
        found = select(rows).where(
            rows.c.source == self._source, rows.c.table_name == table, rows.c.key > after
        )
        if up_to is not None:
            found = found.where(rows.c.key <= up_to)
        with reading(self._engine) as connection:
            return _seen(connection.execute(found.order_by(rows.c.key).limit(limit)))

    def find(self, table: str, keys: Iterable[str]) -> list[Seen]:
        """Rows of a table as last seen, by their whole keys."""
        rows, found = state.seen, list[Seen]()
        mine = select(rows).where(
            rows.c.source == self._source,
            rows.c.table_name == table,
            rows.c.key.in_(bindparam("keys", expanding=True)),
        )
        with reading(self._engine) as connection:
            for some in chunks(keys):
                found += _seen(connection.execute(mine, {"keys": some}))
        return found

    def under(self, table: str, prefixes: Iterable[str]) -> list[Seen]:
        """Rows of a table as last seen, whose key begins with one of these texts, none of which begins another."""
        found: list[Seen] = []
        with reading(self._engine) as connection:
            for some in chunks(prefixes, _RANGES):
                bounds = {f"low{at}": one for at, one in enumerate(some)}
                bounds |= {f"high{at}": one + _HIGHEST for at, one in enumerate(some)}
                asked = {"source": self._source, "table": table, **bounds}
                found += _seen(connection.execute(_ranges(len(some)), asked))
        return found

    def forget(self) -> None:
        """Delete all of this source but its count: a number that was given once never comes again."""
        place = state.inbox_position
        with writing(self._engine) as connection:
            connection.execute(delete(state.inbox).where(state.inbox.c.source == self._source))
            connection.execute(delete(state.seen).where(state.seen.c.source == self._source))
            connection.execute(delete(place).where(place.c.source == self._source, place.c.name != _NUMBER))

    # --- parts

    def _position(self, connection: Connection, name: str) -> str | None:
        place = state.inbox_position
        found = select(place.c.value).where(place.c.source == self._source, place.c.name == name)
        return connection.scalar(found)

    def _draw(self, connection: Connection, count: int) -> int:
        """Take `count` numbers; returns the one before the first."""
        place = state.inbox_position
        mine = (place.c.source == self._source) & (place.c.name == _NUMBER)
        # Without a wish to write, the row is locked all the same: who comes second finds the positions moved.
        locked = connection.execute(update(place).where(mine).values(value=place.c.value)).rowcount
        last = int(self._position(connection, _NUMBER) or 0) if locked else 0
        if not locked:
            connection.execute(insert(place).values(source=self._source, name=_NUMBER, value="0"))
        connection.execute(update(place).where(mine).values(value=str(last + count)))
        return last

    def _move(self, connection: Connection, name: str, was: str | None, becomes: str) -> None:
        if self._position(connection, name) != was:
            raise Fenced(
                f"{self._source}: position {name} is not {was} any more: another process fetches its changes, "
                "or what this one wrote last came through though the connection was lost"
            )
        replace(connection, state.inbox_position, [{"source": self._source, "name": name, "value": becomes}])

    def _head(
        self, connection: Connection, limit: int, *, after: int | None = None, up_to: int | None = None
    ) -> list[Change]:
        table = state.inbox
        found = select(table.c.change).where(table.c.source == self._source).order_by(table.c.number)
        if after is not None:
            found = found.where(table.c.number > after)
        if up_to is not None:
            found = found.where(table.c.number <= up_to)
        return [decode_change(change) for change in connection.scalars(found.limit(limit))]

    def _whole(self, connection: Connection, held: list[Change], last: Change) -> list[Change]:
        """Those whose unit (one transaction, one subject) has no change beyond the last. Transactions come one after another."""
        table = state.inbox
        if last.transaction is None:
            return held
        beyond = (
            select(table.c.transaction, table.c.subject)
            .distinct()
            .where(
                table.c.source == self._source,
                table.c.number > last.number,
                table.c.transaction == last.transaction,
            )
        )
        cut = {tuple(row) for row in connection.execute(beyond)}
        return [change for change in held if (change.transaction, change.subject) not in cut]

    def _row(self, change: Change) -> dict[str, object]:
        return {
            "source": self._source,
            "number": change.number,
            "transaction": change.transaction,
            "subject": change.subject,
            "change": encode_change(change),
        }

    def _seen_row(self, one: Seen) -> dict[str, object]:
        return {"source": self._source, "table_name": one.table, "key": one.key, "image": one.image}
