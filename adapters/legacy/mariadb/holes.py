"""Ways by which changes can pass the triggers of MariaDB and MySQL by, and what to do about each."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from adapters.legacy.images import Captured, row_of
from adapters.legacy.mariadb import triggers
from adapters.legacy.mariadb.cascades import Cascades, Untold
from adapters.legacy.mariadb.tables import (
    columns_of,
    incarnation,
    is_mariadb,
    may_see_triggers,
    parts,
    query,
    shape_of,
    table_of,
    triggers_of,
)
from adapters.legacy.mariadb.values import Column, quoted
from adapters.legacy.shapes import AGAIN, altered
from toolkit.ports import Hole

_ANEW = "install capture again: the plan has the change"


def holes_of(connection: Connection, table: Captured, home: str, cascades: Cascades) -> Iterator[Hole]:
    """The holes of one captured table."""
    columns = columns_of(connection, table)
    if not columns:
        yield Hole(where=table.table, what=f"the table {table.relation} is gone", next=AGAIN)
        return
    shape = shape_of(connection, table)
    yield from _engine(connection, table)
    for name in table.subjects:
        if name not in shape.columns:
            yield Hole(where=table.table, what=f"the subject column {name} is gone", next=AGAIN)
    yield from altered(table, shape, listed=True)
    yield from _triggers(connection, table, columns if shape == table.shape else (), home, cascades)
    if not table.outbox:
        yield from _cascades(table, cascades)
        yield from _vanished(connection, table, columns)


def holes_of_server(connection: Connection, source: str) -> Iterator[Hole]:
    """What the server does beside all triggers."""
    if not _replica(connection):
        return
    if is_mariadb(connection):
        runs = str(connection.scalar(text("SELECT @@global.slave_run_triggers_for_rbr")))
        if runs.upper() not in ("NO", "OFF", "0"):
            return
    yield Hole(
        where=source,
        what="the server is a replica: rows that it applies from its primary fire no trigger",
        next="capture on the primary",
    )


def _replica(connection: Connection) -> bool:
    statement = "SHOW ALL SLAVES STATUS" if is_mariadb(connection) else "SHOW REPLICA STATUS"
    try:
        return connection.execute(text(statement)).first() is not None
    except DBAPIError:  # no privilege to see it
        return False


def _engine(connection: Connection, table: Captured) -> Iterator[Hole]:
    schema, name = parts(table.relation)
    sql = "SELECT ENGINE FROM information_schema.TABLES WHERE TABLE_SCHEMA = :schema AND TABLE_NAME = :name"
    engine = str(connection.scalar(text(sql), {"schema": schema, "name": name}))
    if engine.upper() != "INNODB":
        what = (
            f"its engine is {engine} now, which has no transactions: a change may be recorded and not happen"
        )
        yield Hole(where=table.table, what=what, next=f"ALTER TABLE ... ENGINE = InnoDB; then {AGAIN}")


def _triggers(
    connection: Connection, table: Captured, columns: tuple[Column, ...], home: str, cascades: Cascades
) -> Iterator[Hole]:
    there = triggers_of(connection, table)
    if not there and not may_see_triggers(connection):
        what = "this account may not see its triggers, so nobody watches them"
        yield Hole(where=table.table, what=what, next="grant it TRIGGER on the captured tables")
        return
    for name in triggers.names(table).values():
        if name not in there:
            yield Hole(where=table.table, what=f"the trigger {name} is gone", next=AGAIN)
    if not columns:
        return  # the table is another one: that has been said
    now = table_of(connection, table, columns)
    ours = [triggers.bodies(now, home, cascades, transactions=known) for known in (True, False)]
    for name in sorted(ours[0].keys() - there.keys() - set(triggers.names(table).values())):
        what = f"the trigger {name} is not there, which tells what foreign keys do"
        yield Hole(where=table.table, what=what, next=_ANEW)
    for name, body in there.items():
        if name in ours[0] and all(body != one[name] for one in ours):
            what = f"the trigger {name} is not the one that we make"
            yield Hole(where=table.table, what=what, next=_ANEW)


def _cascades(table: Captured, cascades: Cascades) -> Iterator[Hole]:
    for one in cascades.untold:
        if one.table == table.table:
            yield hole_of(one)


def hole_of(untold: Untold) -> Hole:
    """What a foreign key does that no trigger records."""
    return Hole(where=untold.table, what=f"{untold.reach.said()}: {untold.why}", next=untold.next)


def _vanished(connection: Connection, table: Captured, columns: tuple[Column, ...]) -> Iterator[Hole]:
    sql = "SELECT incarnation FROM strangler_captured WHERE table_name = :name"
    then = connection.scalar(text(sql), {"name": table.table})
    now = incarnation(connection, table)
    if (
        then is not None
        and now is not None
        and then != now
        and then.partition("@")[2] == now.partition("@")[2]
    ):
        yield Hole(where=table.table, what="the table was truncated, which fires no trigger", next=AGAIN)
    elif row := _missing_row(connection, table, columns):
        what = f"the row {row} is gone, and no change tells of it: TRUNCATE, or a foreign key's rule"
        yield Hole(where=table.table, what=what, next=AGAIN)


def _missing_row(connection: Connection, table: Captured, columns: tuple[Column, ...]) -> str:
    """The row that the last change of the table left there, if it is not there any more."""
    keys = [one for one in columns if one.name in table.keys]
    if len(keys) != len(table.keys) or not all(one.whole or one.textual for one in keys):
        return ""
    last = connection.execute(query("last"), {"name": table.table}).first()
    if last is None or last.after is None:
        return ""
    try:
        row = row_of(last.after) or {}
    except msgspec.DecodeError:
        return ""
    values = {f"key{at}": str(row.get(name)) for at, name in enumerate(table.key_columns)}
    where = " AND ".join(f"t.{quoted(name)} = :key{at}" for at, name in enumerate(table.keys))
    there = connection.scalar(text(f"SELECT count(*) FROM {table.relation} t WHERE {where}"), values)
    return "" if there else ", ".join(f"{name}={row.get(name)}" for name in table.key_columns)
