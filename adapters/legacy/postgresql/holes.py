"""The ways by which changes of a captured PostgreSQL table can escape, as far as the catalogue shows them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection

from adapters.legacy.images import Captured
from adapters.legacy.postgresql import triggers
from adapters.legacy.postgresql.tables import query, shape_of
from adapters.legacy.shapes import AGAIN, altered
from toolkit.ports import Hole

_FIRES = {
    "-": "is gone",
    "D": "is disabled",
    "O": "does not fire where session_replication_role is replica",
    "R": "fires only where session_replication_role is replica",
}
_LENT = (
    "capture was installed by a superuser, and the table's owner is none: he can give a column a type whose cast to "
    "JSON runs with the superuser's rights"
)
_FACTS = {
    "row_security": (
        "row security hides rows from this role: a backfill fails",
        "give the role BYPASSRLS",
    ),
    "inherited": (
        "tables inherit from it, and what is written to them fires no trigger of ours",
        "capture them, too",
    ),
    "unlogged": (
        "it is unlogged: a crash of the server empties it, and no change tells",
        "ALTER TABLE ... SET LOGGED",
    ),
    "lent": (
        _LENT,
        "remove capture, and install it as the owner of the tables",
    ),
}


def holes_of(connection: Connection, table: Captured) -> Iterator[Hole]:
    """Triggers that are missing or do not always fire, rights that are, and a table that is not what it was."""
    asked = {
        "relation": table.relation,
        "table": table.table,
        "subjects": list(table.subjects),
        "rows": list(triggers.names(table)),
        "truncation": triggers.TRUNCATION,
    }
    state = connection.execute(query("triggers"), asked).one()
    yield from _elsewhere(table, state)
    if not state.there:
        yield Hole(where=table.table, what=f"the table {table.relation} is gone", next=AGAIN)
        return
    yield from _silent(table, state)
    if not state.subject:
        yield Hole(where=table.table, what=f"the subject column {_named(table)} is gone", next=AGAIN)
    if not state.readable and not table.outbox:
        what = "the owner of capture may not read the table, so that TRUNCATE would fail"
        yield Hole(where=table.table, what=what, next="grant it SELECT")
    if table.statement and state.subscribed:
        what = "a subscription writes its rows, and logical replication fires row triggers only"
        yield Hole(where=table.table, what=what, next="leave out `statement`, and install capture again")
    if table.statement and state.inherits:
        what = "it has become a part of another table, and a statement that names that one fires none of its triggers"
        yield Hole(
            where=table.table, what=what, next=f"leave out `statement`, install capture again; {AGAIN}"
        )
    for fact, (what, next_step) in _FACTS.items():
        if getattr(state, fact):
            yield Hole(where=table.table, what=what, next=next_step)
    yield from altered(table, shape_of(connection, state.oid))


def _named(table: Captured) -> str:
    return " or ".join(table.subjects)


def _elsewhere(table: Captured, state: Any) -> Iterator[Hole]:
    for other in state.elsewhere:
        what = f"what is written to {other} comes as changes of {table.relation}: a table was renamed"
        yield Hole(where=table.table, what=what, next=f"drop the triggers of {other}; {AGAIN}")


def _silent(table: Captured, state: Any) -> Iterator[Hole]:
    """Each trigger that does not always fire. A new partition lacks only the one for TRUNCATE, which `altered` says."""
    known = {relation: state for relation, _, state in (one.rpartition(" ") for one in state.truncation)}
    found = [(table.relation, name, mode) for name, _, mode in (one.rpartition(" ") for one in state.rows)]
    for relation, _, mode in (one.rpartition(" ") for one in state.partitions):
        found += [(relation, name, mode) for name in triggers.names(table)]
    if not table.outbox:
        mine = table.shape.partitions or tuple(known)
        found += [(name, triggers.TRUNCATION, mode) for name, mode in known.items() if name in mine]
    for relation, name, mode in found:
        if what := _FIRES.get(mode, ""):
            enable = f"ALTER TABLE {relation} ENABLE ALWAYS TRIGGER {name}; then {AGAIN}"
            where = "" if relation in (table.relation, *_plain(state, table)) else f" of {relation}"
            yield Hole(
                where=table.table,
                what=f"the trigger {name}{where} {what}",
                next=AGAIN if mode == "-" else enable,
            )


def _plain(state: Any, table: Captured) -> tuple[str, ...]:
    """The table itself, as the catalogue quotes it; a partitioned one has no rows of its own."""
    return () if table.shape.partitions else tuple(one.rpartition(" ")[0] for one in state.truncation)
