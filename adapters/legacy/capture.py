"""What capture by triggers does alike on every engine: offer changes, mark them, read chunks of rows beside them."""

from __future__ import annotations

import datetime as dt
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager, suppress
from copy import copy
from functools import partial
from typing import Any, Self

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    FromClause,
    MetaData,
    Select,
    bindparam,
    func,
    inspect,
    select,
    text,
)

from adapters.engines import reading, writing
from adapters.legacy.blocked import Condition, held_back
from adapters.legacy.exclusive import alone
from adapters.legacy.images import (
    Captured,
    ChangeRow,
    Chosen,
    Shape,
    changes_of,
    columns_told,
    reading_of,
    snapshot_of,
)
from adapters.legacy.namesakes import Search, Unlooked, keyed, namesakes, with_others, without_unlooked
from adapters.legacy.shards import share
from adapters.legacy.subjects import SubjectOrder, beyond, condition
from migrations.schema.capture import captured_table, change_table
from toolkit.core.changes import Change, Op
from toolkit.core.errors import Infrastructure, ReadTimeout, UsageError
from toolkit.core.shards import Shard
from toolkit.ports import CapturedTable, Chunk, Cursor, Hole, Horizon, Plan

logger = logging.getLogger("strangler.capture")

_MARKED_AT_ONCE = 10_000
_ASKED_AT_ONCE = 30_000
"""SQLite takes no more in one statement."""
_COUNTED_UP_TO = 100_000
"""Above so many, the engine's guess is good enough to tell the time left, and counting is a read of the whole table."""
_ROWS_BESIDE = 10
"""So many rows of another table a chunk may have for each row of the aggregate's first one."""
_chosen = msgspec.json.Decoder(Chosen).decode
_shape = msgspec.json.Decoder(Shape).decode
_names = msgspec.json.Decoder(tuple[str, ...]).decode


class TriggerCapture(ABC):
    """Capture into the table that triggers fill. A subclass knows one engine's triggers, order and snapshots."""

    def __init__(self, name: str, engine: Engine) -> None:
        self._name, self._engine = name, engine
        self._change = change_table(MetaData(), engine.dialect.name)
        self._captured = captured_table(MetaData(), engine.dialect.name)
        self._orders: dict[tuple[str, ...], SubjectOrder] = {}
        self._searches: dict[str, Search | None] = {}
        self._mine = "1 = 1"

    def only(self, shard: Shard) -> Self:
        """The same for the leader of one shard: it is offered the changes of its own subjects, and counts no others."""
        one = copy(self)
        one._mine = share(self._engine.dialect.name, shard)
        return one

    # --- what an engine knows

    @abstractmethod
    def _order(self, connection: Connection, tables: Sequence[Captured]) -> SubjectOrder: ...

    @abstractmethod
    def _image(self, connection: Connection, table: Captured) -> tuple[str, str]:
        """SQL expressions over a row `t`: its JSON as triggers write it, and its subject as they write it."""

    @abstractmethod
    def _arrival(self, connection: Connection, table: Captured) -> str:
        """SQL expressions over a row `t` of an outbox: what tells best in which order the rows came."""

    @abstractmethod
    def _search(self, connection: Connection, table: Captured) -> Search | None:
        """How rows are found whose keys differ in blanks at their end; None where the engine takes these for one key."""

    @abstractmethod
    def _clock(self, connection: Connection) -> dt.datetime: ...

    @abstractmethod
    def _limit(self, connection: Connection) -> None:
        """Prepare a transaction that reads legacy rows: time limits, and text forms that do not depend on settings."""

    @abstractmethod
    def _judged(self) -> AbstractContextManager[None]:
        """Around everything that speaks to the database: a driver's errors become ours."""

    @abstractmethod
    def plan(self, tables: Sequence[CapturedTable]) -> Plan: ...

    @abstractmethod
    def holes(self) -> list[Hole]: ...

    # --- what is installed

    def alone(self) -> AbstractContextManager[None]:
        """Nobody else plans to install, installs or removes in this database meanwhile."""
        return alone(self._name, self._engine, self._judged)

    def install(self, plan: Plan) -> None:
        """Execute the plan's statements in one transaction."""
        self._execute(plan.statements)

    def remove(self, plan: Plan) -> None:
        """Execute the plan's removal in one transaction. Changes that are not marked yet are gone with it."""
        self._execute(plan.removal)

    def _execute(self, statements: Sequence[str]) -> None:
        self._orders.clear()
        self._searches.clear()
        with self._judged(), writing(self._engine) as connection:
            for statement in statements:
                connection.execution_options(no_parameters=True).exec_driver_sql(statement)

    def installed(self) -> tuple[str, ...]:
        """Tables that are captured now."""
        with self._judged(), reading(self._engine) as connection:
            return tuple(self._registry(connection))

    def installation(self, tables: Sequence[str]) -> str | None:
        """The instant at which the last of these tables came to be captured; None when one of them is not."""
        with self._judged(), reading(self._engine) as connection:
            return _since(self._registry(connection), tables)

    def _registry(self, connection: Connection) -> dict[str, Captured]:
        """What was installed, by table; nothing when capture is not installed at all."""
        if not self._there(connection):
            return {}
        rows = connection.execute(select(self._captured).order_by(self._captured.c.table_name))
        return {
            row.table_name: Captured(
                table=row.table_name,
                relation=row.relation,
                subject=columns_told(row.subject),
                outbox=row.outbox,
                keys=_names(row.keys),
                columns=_names(row.columns),
                installed_at=row.installed_at,
                statement=row.statement,
                chosen=_chosen(row.chosen) if row.chosen else Chosen(),
                shape=_shape(row.shape) if row.shape else Shape(),
            )
            for row in rows
        }

    def _there(self, connection: Connection) -> bool:
        return inspect(connection).has_table(self._captured.name, schema=self._captured.schema)

    def _needed(self, connection: Connection, tables: Sequence[str]) -> list[Captured]:
        registry = self._registry(connection)
        missing = [table for table in tables if table.upper() not in registry]
        if missing:
            raise UsageError(
                f"legacy source {self._name}: {', '.join(missing)} not captured: install capture first"
            )
        return [registry[table.upper()] for table in tables]

    # --- what was captured

    def pending(self, limit: int, cursors: Sequence[Cursor]) -> list[Change]:
        """Visible, unmarked changes by number; what one legacy transaction did to one subject is never cut in two."""
        return self._pending(limit, cursors)

    def _pending(
        self, limit: int, cursors: Sequence[Cursor], taken: Condition = ("", {}), numbers: Sequence[int] = ()
    ) -> list[Change]:
        return self._looked(partial(self._offer_head, limit, cursors, taken, numbers))

    def _looked(self, offer: Callable[[Collection[str]], list[Change]]) -> list[Change]:
        """What it offers beside tables whose rows cannot be looked for (a lock, a right): what asks for that has to wait.

        Where the table is gone, or the column by which its rows were looked for, nothing waits: a hole tells of that.
        """
        blocked, reasons = set[str](), list[Unlooked]()
        while True:
            try:
                found = offer(blocked)
                break
            except Unlooked as error:
                if error.table in (one.table for one in reasons):
                    raise Infrastructure(f"legacy source {self._name}, {error}") from error
                reasons.append(error)
                self._searches.pop(error.table, None)
                with self._judged(), reading(self._engine) as connection:
                    if error.table in self._searches_of(connection, self._registry(connection)):
                        blocked.add(error.table)
        held = [one for one in reasons if one.table in blocked]
        if held and not found:
            raise Infrastructure(f"legacy source {self._name}, {held[0]}") from held[0]
        for one in held:
            logger.warning("legacy source %s, %s: its changes wait", self._name, one)
        return found

    def _offer_head(
        self,
        limit: int,
        cursors: Sequence[Cursor],
        taken: Condition,
        numbers: Sequence[int],
        blocked: Collection[str],
    ) -> list[Change]:
        with self._judged(), reading(self._engine) as connection:
            self._limit(connection)
            registry = self._registry(connection)
            if not registry:
                return []
            standing = [one.beside(_since(registry, one.tables)) for one in cursors]
            where = self._established(connection, standing)
            for held in held_back(self._engine.dialect.name, self._change, blocked):
                beside = (f"{taken[0]}{held[0]}", {**taken[1], **held[1]})
                rows = self._head_whole(connection, where, beside, limit)
                changes = changes_of(self._name, rows, registry)
                if blocked:
                    changes = without_unlooked(changes, blocked.__contains__)
                if changes or not rows:
                    break
            if changes:
                self._until_durable(connection)
            later = partial(self._later, connection, registry, rows, numbers)
            return with_others(connection, self._searches_of(connection, registry), changes, later)

    def _head_whole(
        self, connection: Connection, where: Condition, beside: Condition, limit: int
    ) -> Sequence[ChangeRow]:
        """The first rows, of whole units. What is left out `beside` is whole units, too: it cuts none."""
        sql, parameters = f"{where[0]}{beside[0]}", {**where[1], **beside[1]}
        rows = self._head(connection, sql, parameters, limit)
        while len(rows) == limit:
            whole = self._whole(connection, *where, rows)
            if whole:
                return whole
            limit *= 2  # one transaction did more than `limit` to one subject
            rows = self._head(connection, sql, parameters, limit)
        return rows

    def _later(
        self,
        connection: Connection,
        registry: Mapping[str, Captured],
        offered_now: Sequence[ChangeRow],
        numbers: Sequence[int],
        table: str,
        subjects: AbstractSet[str],
        respelt: AbstractSet[str],
    ) -> list[Change]:
        """What waits of these subjects, in the same snapshot, but for what is offered and for those numbers.

        One that is there as the changes spell it had another key before only if a row of its own goes, or changes.
        """
        taken = {row[0] for row in offered_now}.union(numbers)
        if came := subjects - respelt:
            gone = self._gone_of(connection, table, sorted(came))
            subjects = respelt | {subject for number, subject in gone if number not in taken}
        if not subjects:
            return []
        rows = (row for row in self._waiting_of(connection, table, sorted(subjects)) if row[0] not in taken)
        return changes_of(self._name, sorted(rows, key=lambda row: int(row[0])), registry)

    def _gone_of(self, connection: Connection, table: str, subjects: Sequence[str]) -> list[tuple[int, str]]:
        """Numbers and subjects of what waits of these and is no new row: without its images, which take most of the time."""
        change = self._change.alias("c")
        found = select(change.c.number, change.c.subject).where(change.c.op != Op.INSERT.value)
        return [(row[0], row[1]) for row in _of_subjects(connection, found, change, table, subjects)]

    def _waiting_of(self, connection: Connection, table: str, subjects: Sequence[str]) -> Iterable[ChangeRow]:
        """All that waits of these subjects: no index has them, so each statement reads the table whole."""
        change = self._change.alias("c")
        return _of_subjects(connection, select(*offered(change)), change, table, subjects)

    def _searches_of(self, connection: Connection, registry: Mapping[str, Captured]) -> dict[str, Search]:
        """How to look for rows with the same subject, in each table that may have them."""
        for name in registry.keys() - self._searches.keys():
            with suppress(UsageError):  # a column that is gone: a hole says so
                table = registry[name]
                self._searches[name] = self._search(connection, table) if keyed(table) else None
        return {name: search for name in registry if (search := self._searches.get(name)) is not None}

    def _namesakes(self, tables: Iterable[Captured], rows: int) -> list[Hole]:
        """Rows that are one subject, as far as so many keys of each table show it. What cannot be read is passed by."""
        found: list[Hole] = []
        for table in filter(keyed, tables):
            # Each with a connection of its own: a statement that fails may end the transaction.
            with suppress(UsageError, ReadTimeout), self._judged(), reading(self._engine) as connection:
                search = self._search(connection, table)
                found += namesakes(connection, table, search, rows) if search is not None else ()
        return found

    def _until_durable(self, connection: Connection) -> None:  # noqa: B027 - most have nothing to do
        """What was read may leave only when a crash of the server cannot undo it. Most show nothing before that."""

    def _established(self, connection: Connection, cursors: Sequence[Cursor]) -> Condition:
        conditions, parameters = [self._mine], dict[str, object]()
        for at, cursor in enumerate(one for one in cursors if not one.done):
            condition, more = beyond(self._order_of(connection, cursor.tables), at, cursor)
            conditions.append(condition)
            parameters.update(more)
        return " AND ".join(conditions), parameters

    def _head(
        self, connection: Connection, where: str, parameters: Mapping[str, object], limit: int
    ) -> Sequence[ChangeRow]:
        change = self._change.alias("c")
        found = select(*offered(change)).where(text(where)).order_by(change.c.number).limit(limit)
        return connection.execute(found, parameters).all()

    def _whole(
        self,
        _connection: Connection,
        _where: str,
        _parameters: Mapping[str, object],
        rows: Sequence[ChangeRow],
    ) -> Sequence[ChangeRow]:
        """Those of the first rows whose unit has no row beyond them. Without transaction ids each row is a unit."""
        return rows

    def behind(self, horizon: Horizon) -> int:
        """How many waiting changes have a number up to the horizon's? (Where its token is another, an engine counts itself.)"""
        change = self._change.alias("c")
        waiting = select(func.count()).where(change.c.number <= int(horizon.token), text(self._mine))
        with self._judged(), reading(self._engine) as connection:
            return connection.scalar(waiting) or 0

    def mark(self, numbers: Iterable[int]) -> None:
        """Never offer these changes again: they are deleted, since the archive has what came of them. Idempotent."""
        held = sorted(numbers)
        for at in range(0, len(held), _MARKED_AT_ONCE):
            with self._judged(), writing(self._engine) as connection:
                self._delete(connection, held[at : at + _MARKED_AT_ONCE])

    def _delete(self, connection: Connection, numbers: Sequence[int]) -> None:
        gone = self._change.delete().where(self._change.c.number.in_(bindparam("numbers", expanding=True)))
        connection.execute(gone, {"numbers": numbers})

    def close(self) -> None:
        """Give back what only capture holds: on these engines nothing, the connections are the source's."""
        self._orders.clear()

    # --- what was there before capture

    def count(self, tables: Sequence[CapturedTable], cursor: Cursor) -> int:
        """Roughly how many subjects a backfill of these tables still has to read."""
        if cursor.done:
            return 0
        with self._judged(), reading(self._engine) as connection:
            self._limit(connection)
            order = self._order_of(connection, [one.table for one in tables])
            left, given = order.left(low=cursor.after is not None), order.given({"low": cursor.after})
            guess = self._guess(connection, left, given)
            if guess > _COUNTED_UP_TO:
                return guess
            return int(connection.scalar(text(f"SELECT count(*) FROM ({left}) AS found"), given) or 0)

    def _guess(self, _connection: Connection, _sql: str, _given: Mapping[str, object]) -> int:
        """How many rows the engine believes that a SELECT gives; 0 where it has no opinion."""
        return 0

    def chunk(self, tables: Sequence[CapturedTable], cursor: Cursor, size: int) -> Chunk:
        """Read the rows of the next subjects, and the numbers of the changes they contain, in one snapshot."""
        with self._judged(), reading(self._engine) as connection:
            self._limit(connection)
            group = self._needed(connection, [one.table for one in tables])
            order = self._order_of(connection, cursor.tables)
            instant = self._clock(connection)
            low = cursor.after
            high = _end(connection, order, group, low, size)
            changes = [
                change
                for table in group
                for change in self._rows(connection, order, table, low, high, (instant, reading_of(group)))
            ]
            absorbed = self._absorbed(connection, order, cursor.tables, low, high)
            if changes:
                self._until_durable(connection)
        return Chunk(
            changes=changes,
            absorbed=absorbed,
            cursor=msgspec.structs.replace(
                cursor, after=high if high is not None else low, done=high is None
            ),
        )

    def _rows(
        self,
        connection: Connection,
        order: SubjectOrder,
        table: Captured,
        low: str | None,
        high: str | None,
        read: tuple[dt.datetime, str],
    ) -> Iterator[Change]:
        image, subject = self._image(connection, table)
        below, above = low is not None, high is not None
        # Padding sorts after a control character: up to such a subject an index does not find every padded one.
        near = order.near(table, low=below, high=above) if high is not None and high.isprintable() else ""
        where = condition(near, order.rows(table, low=below, high=above))
        by = self._arrival(connection, table) if table.outbox else key_order(table)
        sql = f"SELECT {subject} AS subject, {image} AS image FROM {table.relation} t WHERE {where} ORDER BY {by}"
        position = ""
        for row in connection.execute(text(sql), order.given({"low": low, "high": high})):
            change = snapshot_of(self._name, table, row.subject, row.image, *read)
            if change.position == position:
                key = ", ".join(f"{column}={change.text(column)}" for column in change.key)
                raise UsageError(
                    f"legacy source {self._name}, table {table.table}: two rows have the key {key}, so that the second "
                    "would be lost; name further columns in its `key`, and install capture again"
                )
            position = change.position
            yield change

    def _absorbed(
        self,
        connection: Connection,
        order: SubjectOrder,
        tables: Sequence[str],
        low: str | None,
        high: str | None,
    ) -> list[int]:
        change = self._change.alias("c")
        where = order.changes(low=low is not None, high=high is not None)
        found = select(change.c.number).where(change.c.table_name.in_(list(tables)), text(where))
        bounds = order.given({"low": low, "high": high})
        return list(connection.scalars(found.order_by(change.c.number), bounds))

    def _order_of(self, connection: Connection, tables: Sequence[str]) -> SubjectOrder:
        key = tuple(tables)
        if key not in self._orders:
            self._orders[key] = self._order(connection, self._needed(connection, tables))
        return self._orders[key]


def _end(
    connection: Connection, order: SubjectOrder, tables: Sequence[Captured], low: str | None, size: int
) -> str | None:
    """The subject with which a chunk ends; None when it is the last one.

    No table may give very much more than was asked for, or subjects with many rows, and rows without a main row, would
    fill the memory: each table draws the end nearer if need be, but behind a whole subject.
    """
    high: str | None = None
    for at, table in enumerate(tables):
        edge = text(order.edge(table, low=low is not None, high=high is not None))
        skip = size - 1 if at == 0 else size * _ROWS_BESIDE - 1
        given = {**order.given({"low": low, "high": high}), "skip": skip}
        found: str | None = connection.scalar(edge, given)
        high = high if found is None else found
    return high


def _since(registry: Mapping[str, Captured], tables: Sequence[str]) -> str | None:
    """Since when all of these tables have been captured."""
    since = [registry[name].installed_at for table in tables if (name := table.upper()) in registry]
    known = [instant for instant in since if instant is not None]
    return max(known).isoformat() if len(known) == len(tables) else None


def _of_subjects(
    connection: Connection, found: Select[Any], change: FromClause, table: str, subjects: Sequence[str]
) -> Iterator[Any]:
    """What is found of a table's subjects, in as many statements as their number takes."""
    mine = change.c.subject.in_(bindparam("subjects", expanding=True))
    asked = found.where(change.c.table_name == table, mine)
    for at in range(0, len(subjects), _ASKED_AT_ONCE):
        yield from connection.execute(asked, {"subjects": subjects[at : at + _ASKED_AT_ONCE]})


def offered(change: FromClause) -> list[ColumnElement[Any]]:
    """What is read of a change, in the order of `ChangeRow`."""
    names = ("number", "transaction", "table_name", "op", "subject", "before", "after", "captured_at")
    return [change.c[name] for name in names]


def key_order(table: Captured) -> str:
    """The key columns of a row `t`, to order by."""
    return ", ".join('t."{}"'.format(name.replace('"', '""')) for name in table.keys)
