"""Capture in a SQLite file: triggers write into a table beside the application's, in its own transaction."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial

import msgspec
from sqlalchemy import Connection, func, inspect, select, text
from sqlalchemy.exc import DBAPIError

from adapters.engines import reading
from adapters.legacy.capture import TriggerCapture, key_order
from adapters.legacy.guard import CAPTURE_TIMEOUT, judged
from adapters.legacy.images import Captured, Shape
from adapters.legacy.namesakes import PLANNED, WATCHED, Search
from adapters.legacy.shapes import ACCEPT, AGAIN, altered, followed
from adapters.legacy.sqlite import triggers
from adapters.legacy.sqlite.subjects import search_of, sqlite_order
from adapters.legacy.sqlite.tables import affinities_of, bare, find_table, followers, has_rowid, shape_of
from adapters.legacy.subjects import SubjectOrder
from adapters.legacy.wanted import distinct, every
from migrations.upgrade import offline_sql
from toolkit.ports import CapturedTable, Hole, Horizon, Plan

GUARANTEES = {
    "loss": "none for INSERT, UPDATE and DELETE: a change is recorded in the transaction that makes it, or "
    "neither is",
    "order": "commit order, for all subjects: SQLite has one writer, and the number is drawn while it writes",
    "deletes": "captured; INSERT OR REPLACE shows as an insert alone, unless the application sets recursive_triggers",
    "intermediate states": "all captured, one change for each statement and row; with `columns` or `ignore`, an update that "
    "changes no captured column gives none",
    "keys": "an update that changes the key is one change that shows both; one that changes the subject is a "
    "deletion for the old subject and an insertion for the new one",
    "transactions": "not known: a SQLite trigger cannot see its transaction, so each change stands for itself",
    "stalls": "nothing; a writer that holds the file's lock delays marking, not reading",
    "schema changes": "a column that is added is a hole, and not captured before capture is installed again; SQLite refuses "
    "to drop a captured one; one that is renamed goes on under its old name, and is a hole; so are "
    "another key or type, and a table that was made again",
    "not captured": "what is written while a trigger of ours is gone; what INSERT OR REPLACE deletes, unless "
    "recursive_triggers is set; virtual tables and views are refused",
    "cost": "each row written to a captured table writes one more, in the same transaction",
    "removal": "leaves nothing but SQLite's own table sqlite_sequence, which cannot be dropped",
}


class SqliteCapture(TriggerCapture):
    """Implements `toolkit.ports.Capture`."""

    def plan(self, tables: Sequence[CapturedTable]) -> Plan:
        """What is missing to capture these tables, and what takes them away again."""
        with self._judged(), reading(self._engine) as connection:
            registry = self._registry(connection)
            fresh = not inspect(connection).has_table(self._change.name)
            statements = [*offline_sql("sqlite", "capture"), triggers.FIRST_NUMBER] if fresh else []
            removal: list[str] = []
            found = every(tables, partial(find_table, connection, self._name))
            distinct(self._name, found)
            for table in found:
                before = registry.get(table.table)
                if not table.same_as(before):
                    kept = _kept(before, table)
                    statements += [*_gone(before), *triggers.create(table), triggers.register(kept)]
                removal = [*_gone(table), *removal]
            if not registry.keys() - {table.table for table in found}:
                removal += offline_sql("sqlite", "capture", down=True)
            holes = [followed(*one) for one in followers(connection, found)]
        holes += self._namesakes(found, PLANNED)
        return Plan(
            statements=tuple(statements), removal=tuple(removal), guarantees=GUARANTEES, holes=tuple(holes)
        )

    def holes(self) -> list[Hole]:
        """Triggers that are missing or changed, and columns that came or went since they were made."""
        with self._judged(), reading(self._engine) as connection:
            registry = self._registry(connection)
            rows = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"))
            there = {row.name: row.sql for row in rows}
            found = [hole for table in registry.values() for hole in self._holes_of(connection, table, there)]
            found += [followed(*one) for one in followers(connection, registry.values())]
            if not registry:
                found.append(Hole(where=self._name, what="capture is not installed", next="install capture"))
        return [*found, *self._namesakes(registry.values(), WATCHED)]

    def _holes_of(self, connection: Connection, table: Captured, there: dict[str, str]) -> Iterator[Hole]:
        now = shape_of(connection, bare(table.relation))
        renamed = _renamed(table, now, there)
        for name, sql in zip(triggers.names(table), triggers.create(table), strict=True):
            if name not in there:
                yield Hole(where=table.table, what=f"the trigger {name} is gone", next=AGAIN)
            elif there[name] != triggers.renamed(sql, renamed):
                yield Hole(where=table.table, what=f"the trigger {name} is not the one we made", next=AGAIN)
        for old, new in renamed.items():
            what = f"the column {old} is called {new} now; the changes have it under its old name"
            yield Hole(where=table.table, what=what, next=ACCEPT)
        if now.columns:
            yield from altered(table, _as_it_was(now, renamed), listed=True)
        else:
            yield Hole(where=table.table, what=f"the table {table.relation} is gone", next=AGAIN)

    def horizon(self) -> Horizon:
        """The clock, then the last number: one writer at a time commits numbers in their order."""
        with self._judged(), reading(self._engine) as connection:
            instant = clock(connection)
        with self._judged(), reading(self._engine) as connection:
            last = connection.scalar(select(func.max(self._change.c.number)))
        return Horizon(instant=instant, token=str(last or 0))

    # --- what the shared part asks for

    def _order(self, connection: Connection, tables: Sequence[Captured]) -> SubjectOrder:
        return sqlite_order(tables, [affinities_of(connection, table) for table in tables])

    def _image(self, _connection: Connection, table: Captured) -> tuple[str, str]:
        return triggers.image("t", table.columns), triggers.subject("t", table)

    def _arrival(self, connection: Connection, table: Captured) -> str:
        return "t.rowid" if has_rowid(connection, bare(table.relation)) else key_order(table)

    def _search(self, connection: Connection, table: Captured) -> Search | None:
        return search_of(table, affinities_of(connection, table)[0])

    def _clock(self, connection: Connection) -> dt.datetime:
        return clock(connection)

    def _limit(self, connection: Connection) -> None:
        """Nothing: a reader holds nobody up, and the text of a value does not depend on any setting."""

    def _judged(self) -> AbstractContextManager[None]:
        return judged(self._name, CAPTURE_TIMEOUT, _locked)


def clock(connection: Connection) -> dt.datetime:
    """SQLite's clock in UTC."""
    return dt.datetime.fromisoformat(str(connection.scalar(text(f"SELECT {_LITERAL_NOW}"))))


# `text` takes a colon for a parameter.
_LITERAL_NOW = triggers.NOW.replace(":", r"\:")


def _gone(table: Captured | None) -> tuple[str, ...]:
    return () if table is None else (*triggers.drop(table), triggers.unregister(table))


def _kept(before: Captured | None, table: Captured) -> Captured:
    """A table whose columns alone have changed was captured without a gap: its backfill stays valid."""
    since = before.installed_at if before is not None and table.reads_as(before) else None
    return msgspec.structs.replace(table, installed_at=since)


def _locked(error: DBAPIError) -> bool:
    return str(error.orig) == "database is locked"


def _renamed(table: Captured, now: Shape, there: Mapping[str, str]) -> dict[str, str]:
    """Columns by their old name to their new one, where SQLite changed our triggers with them: a column keeps its place."""
    moved = {old: new for old, new in zip(table.shape.columns, now.columns, strict=False) if old != new}
    made = zip(triggers.names(table), triggers.create(table), strict=True)
    return moved if any(there.get(name) == triggers.renamed(sql, moved) for name, sql in made) else {}


def _as_it_was(now: Shape, renamed: Mapping[str, str]) -> Shape:
    """The shape by the old names."""
    old = {new: name for name, new in renamed.items()}
    columns = {old.get(name, name): type_ for name, type_ in now.columns.items()}
    key = tuple(old.get(name, name) for name in now.key)
    return msgspec.structs.replace(now, columns=columns, key=key)
