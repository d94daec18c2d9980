"""Capture in PostgreSQL: triggers write into the schema `strangler`, in the application's own transaction."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import DBAPIError

from adapters.engines import fetched, reading
from adapters.legacy.blocked import Condition
from adapters.legacy.capture import TriggerCapture
from adapters.legacy.guard import CAPTURE_TIMEOUT, judged
from adapters.legacy.images import Captured, ChangeRow
from adapters.legacy.namesakes import PLANNED, WATCHED, Search
from adapters.legacy.postgresql import triggers
from adapters.legacy.postgresql.holes import holes_of
from adapters.legacy.postgresql.tables import (
    SPELLING,
    array_text,
    consecutive,
    find_table,
    literal,
    postgres_order,
    query,
    search_of,
    statement,
    types_of,
)
from adapters.legacy.subjects import SubjectOrder
from adapters.legacy.wanted import distinct, every
from toolkit.core.changes import Change
from toolkit.ports import CapturedTable, Cursor, Hole, Horizon, Plan

GUARANTEES = {
    "loss": "none: a change is recorded in the transaction that makes it, or neither is; it is offered until it "
    "is marked, so that a late commit with a low number is found",
    "order": "two transactions that wrote the same row come in commit order, and so do all that lock a subject's "
    "main row first; two that wrote different rows of a subject at the same time come in the order in "
    "which they became visible",
    "deletes": "captured; TRUNCATE is captured as the deletion of every row, before it happens",
    "intermediate states": "all captured, one change for each row that a statement touches; with `columns` or `ignore`, an "
    "update that changes no captured column gives none",
    "keys": "an update that changes the key is one change that shows both; one that changes the subject is a "
    "deletion for the old subject and an insertion for the new one, and so is a row that an update moves "
    "to another partition",
    "transactions": "known: all changes of one transaction to one subject are offered together",
    "stalls": "nothing stalls capture; a transaction that stays open delays only its own changes",
    "schema changes": "compared with what was installed, column by column: a column that is added, dropped, renamed or "
    "retyped, another key, a partition that came or went, a table that was renamed or made again is a "
    "hole, until capture is installed again; dropping a column breaks no write",
    "not captured": "what is written while a trigger of ours is disabled or gone; rows that come or go with a partition "
    "(ATTACH, DETACH, DROP); views, foreign tables, temporary tables, parents of inheritance and tables "
    "with nothing but a deferrable key are refused",
    "outbox": "inserts only; rows that backfill finds come in the order in which they are stored",
    "cost": "each row written to a captured table writes one more, in the same transaction; with `statement`, "
    "statements that write many rows pay less, those that write one row mostly more",
    "sessions": "what a session writes to a captured table makes lastval() our number: an application that asks for it takes "
    "RETURNING, or currval() of its own sequence, instead",
    "rights": "the application's roles need none; who translates needs USAGE on the schema strangler, SELECT and "
    "DELETE on strangler_change, SELECT on its other tables and on the captured ones; who "
    "installs must own the captured tables, and needs CREATE on the database, for the schema strangler",
}
# A subquery is hashed by every version of PostgreSQL, a list by the newer ones only.
_SUBJECTS = "SELECT unnest(CAST(:subjects AS text[]))"
_STRETCHES = 50
SAME_TEXT = (
    "SELECT set_config('timezone', 'UTC', true), set_config('intervalstyle', 'iso_8601', true),"
    " set_config('bytea_output', 'hex', true), set_config('extra_float_digits', '1', true),"
    # A row that a policy hides would be missing from a backfill: an error is better.
    " set_config('row_security', 'off', true)"
)
_ROW = (  # as the triggers write it
    r"regexp_replace(row_to_json(t)::text, '(?<!\\)((?:\\\\)*)\\u0000', '\1\\u0001', 'g')::json"
)
_CANCELLED = frozenset(
    {"57014", "55P03", "25P03"}
)  # the statement's, the lock's, the idle transaction's time was up


class PostgresCapture(TriggerCapture):
    """Implements `toolkit.ports.Capture`: what is alike whether triggers tell the changes or the log does."""

    def __init__(self, name: str, engine: Engine) -> None:
        super().__init__(name, engine)
        self._ends: dict[tuple[object, ...], dict[str, int]] = {}

    def plan(self, tables: Sequence[CapturedTable]) -> Plan:
        """What is missing to capture these tables, and what takes them away again."""
        with self._judged(), reading(self._engine) as connection:
            registry = self._registry(connection)
            fresh = not inspect(connection).has_table(self._change.name, schema=self._change.schema)
            statements = list(triggers.create_schema() if fresh else triggers.mended(_functions(connection)))
            removal: list[str] = []
            found = every(tables, partial(find_table, connection, self._name))
            distinct(self._name, found)
            for table in found:
                statements += _missing(registry.get(table.table), table)
                removal = [*triggers.drop(table), triggers.unregister(table), *removal]
            if not registry.keys() - {table.table for table in found}:
                removal += triggers.drop_schema()
        holes = tuple(self._namesakes(found, PLANNED))
        return Plan(statements=tuple(statements), removal=tuple(removal), guarantees=GUARANTEES, holes=holes)

    def holes(self) -> list[Hole]:
        """Triggers that are missing or do not always fire, and tables that are not what they were."""
        with self._judged(), reading(self._engine) as connection:
            registry = self._registry(connection)
            found = [hole for table in registry.values() for hole in holes_of(connection, table)]
            if not registry:
                found.append(Hole(where=self._name, what="capture is not installed", next="install capture"))
            elif triggers.mended(_functions(connection)):
                what = "the functions in the schema strangler are not those that we make"
                found.append(
                    Hole(where=self._name, what=what, next="install capture again: the plan has the change")
                )
        return [*found, *self._namesakes(registry.values(), WATCHED)]

    def horizon(self) -> Horizon:
        """The clock, then a snapshot: two statements, because a statement's snapshot is older than its clock."""
        with self._judged(), reading(self._engine) as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT")
            instant = clock(connection)
            token = connection.scalar(text("SELECT pg_current_snapshot()::text"))
        return Horizon(instant=instant, token=str(token))

    def behind(self, horizon: Horizon) -> int:
        """How many unmarked changes are of transactions that the horizon's snapshot sees?"""
        with self._judged(), reading(self._engine) as connection:
            asked = text(f"{statement('behind')} AND {self._mine}")
            return int(connection.scalar(asked, {"token": horizon.token}) or 0)

    def writers(self) -> str:
        """Which transactions write now: all that were numbered before one of ours, which is over at once.

        A snapshot does not do: it ends before the first number that is still in use, whoever got a later one.
        """
        with self._judged(), reading(self._engine) as connection:
            return str(connection.scalar(text("SELECT pg_current_xact_id()::text")))

    def ended(self, token: str) -> bool:
        """Is the oldest transaction that writes now younger than those?"""
        over = "SELECT pg_snapshot_xmin(pg_current_snapshot()) > CAST(:token AS xid8)"
        with self._judged(), reading(self._engine) as connection:
            return bool(connection.scalar(text(over), {"token": token}))

    # --- what the shared part asks for

    def _there(self, connection: Connection) -> bool:
        return bool(connection.scalar(text("SELECT to_regclass('strangler.strangler_captured') IS NOT NULL")))

    def _head(
        self, connection: Connection, where: str, parameters: Mapping[str, object], limit: int
    ) -> Sequence[ChangeRow]:
        """As text: types that look at every value take longer than the database."""
        asked = text(f"{statement('head')} WHERE {where} ORDER BY c.number LIMIT :limit")
        return fetched(connection, asked, {**parameters, "limit": limit})

    def _gone_of(self, connection: Connection, table: str, subjects: Sequence[str]) -> list[tuple[int, str]]:
        asked = text(
            "SELECT c.number, c.subject FROM strangler.strangler_change c"
            f" WHERE c.table_name = :table AND c.op <> 'insert' AND c.subject IN ({_SUBJECTS})"
        )
        found = connection.execute(asked, {"table": table, "subjects": list(subjects)})
        return [(row[0], row[1]) for row in found]

    def _waiting_of(self, connection: Connection, table: str, subjects: Sequence[str]) -> Iterable[ChangeRow]:
        asked = text(f"{statement('head')} WHERE c.table_name = :table AND c.subject IN ({_SUBJECTS})")
        return connection.execute(asked, {"table": table, "subjects": list(subjects)}).all()

    def _whole(
        self,
        connection: Connection,
        where: str,
        parameters: Mapping[str, object],
        rows: Sequence[ChangeRow],
    ) -> Sequence[ChangeRow]:
        """Those of the first rows whose unit (one transaction, one subject) has no row beyond them.

        Cutting a unit off is safe for the order of its subject, because units are ordered by their last number: no unit
        that is left in comes after it. Extending the batch instead might overtake a unit between.
        """
        asked = {"transactions": list({row[1] for row in rows}), "last": rows[-1][0]}
        open_ones = list(connection.scalars(query("beyond"), asked))
        known, self._ends = self._ends, {}
        for transaction in open_ones:
            key = (transaction, where, *parameters.items())
            if key not in known:
                known[key] = self._ends_of(connection, where, parameters, transaction)
            self._ends[key] = known[key]
        last = rows[-1][0]
        cut = {
            (key[0], subject)
            for key, ends in self._ends.items()
            for subject, end in ends.items()
            if end > last
        }
        if not cut:
            return rows
        return [row for row in rows if (row[1], row[4]) not in cut]

    def _ends_of(
        self, connection: Connection, where: str, parameters: Mapping[str, object], transaction: str
    ) -> dict[str, int]:
        """Where what a transaction did to a subject ends, if it did several things to it.

        What is committed stays as it is: asked once, however many batches the transaction takes.
        """
        asked = text(statement("ends").replace("/* established */", f"AND {where}"))
        found = connection.execute(asked, {**parameters, "transaction": transaction})
        return {row[0]: row[1] for row in found.all()}

    def _delete(self, connection: Connection, numbers: Sequence[int]) -> None:
        stretches = consecutive(numbers)
        if len(stretches) > _STRETCHES:
            connection.execute(query("delete"), {"numbers": array_text(numbers)})
        elif stretches:
            between = [{"first": first, "last": last} for first, last in stretches]
            connection.execute(query("delete_stretch"), between)

    def _guess(self, connection: Connection, sql: str, given: Mapping[str, object]) -> int:
        plan: Any = connection.scalar(text(f"EXPLAIN (FORMAT JSON) {sql}"), given)
        return int(plan[0]["Plan"]["Plan Rows"])

    def _order(self, connection: Connection, tables: Sequence[Captured]) -> SubjectOrder:
        return postgres_order(tables, [types_of(connection, table) for table in tables])

    def _image(self, _connection: Connection, table: Captured) -> tuple[str, str]:
        texts = [f"rtrim({_ROW} ->> {_escaped(literal(name))})" for name in table.subjects]
        subject = f"coalesce({texts[0]}, '')" if len(texts) == 1 else SPELLING.subject(texts)
        image = _ROW
        if table.chosen.columns or table.chosen.ignore:
            names = ", ".join(literal(name) for name in table.chosen.columns or table.chosen.ignore)
            test = "IN" if table.chosen.columns else "NOT IN"
            image = (
                f"(SELECT json_object_agg(e.key, e.value) FROM json_each({_ROW}) e"
                f" WHERE e.key {test} ({_escaped(names)}))"
            )
        return f"{image}::text", subject

    def _arrival(self, _connection: Connection, _table: Captured) -> str:
        return "t.ctid"

    def _search(self, connection: Connection, table: Captured) -> Search | None:
        return search_of(connection, table)

    def _clock(self, connection: Connection) -> dt.datetime:
        return clock(connection)

    def _limit(self, connection: Connection) -> None:
        connection.execute(text(SAME_TEXT))

    def _judged(self) -> AbstractContextManager[None]:
        return judged(self._name, CAPTURE_TIMEOUT, cancelled)


class AheadCapture(PostgresCapture):
    """By triggers. Implements `toolkit.loops.batches.Ahead`, too: what they wrote can be read before it is marked.

    A class of its own, because that asks the table that triggers fill: who offers changes from elsewhere has none.
    """

    def pending_beyond(self, limit: int, cursors: Sequence[Cursor], taken: Sequence[int]) -> list[Change]:
        """What `pending` would give if the numbers in `taken` were marked."""
        return self._pending(limit, cursors, _not_taken(taken), taken)


def _not_taken(numbers: Sequence[int]) -> Condition:
    """A condition that leaves these out: as the few stretches that they mostly are, for both sides to look at, or one by one."""
    stretches = consecutive(numbers)
    if len(stretches) > _STRETCHES:
        return " AND c.number NOT IN (SELECT unnest(CAST(:taken AS bigint[])))", {
            "taken": array_text(numbers)
        }
    return "".join(f" AND c.number NOT BETWEEN {first} AND {last}" for first, last in stretches), {}


def _escaped(sql: str) -> str:
    """`text` takes a colon for a parameter."""
    return sql.replace(":", "\\:")


def clock(connection: Connection) -> dt.datetime:
    """The server's clock."""
    now = connection.scalar(text("SELECT clock_timestamp()"))
    assert isinstance(now, dt.datetime)
    return now.astimezone(dt.UTC)


def cancelled(error: DBAPIError) -> bool:
    """Did PostgreSQL cancel the statement because its time was up?"""
    return getattr(error.orig, "sqlstate", None) in _CANCELLED


def _functions(connection: Connection) -> dict[str, str]:
    """What the functions of capture do, by name."""
    sql = "SELECT proname, prosrc FROM pg_proc WHERE pronamespace = to_regnamespace('strangler')"
    return {row.proname: row.prosrc for row in connection.execute(text(sql))}


def _missing(before: Captured | None, table: Captured) -> list[str]:
    """What has to be done so that the table is captured as it is now."""
    if table.same_as(before):
        return []
    since = before.installed_at if before is not None and before.reads_as(table) else None
    note = triggers.register(msgspec.structs.replace(table, installed_at=since))
    if before is None:
        return [*triggers.create(table), note]
    if triggers.create(before) == triggers.create(table):
        return [triggers.unregister(before), note]
    return [*triggers.drop(before), triggers.unregister(before), *triggers.create(table), note]
