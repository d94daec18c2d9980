"""Holes in reading the log: what was changed behind our back, and log that grows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection

from adapters.legacy.postgresql.tables import query as of_engine
from adapters.legacy.postgresql.tables import quoted
from adapters.legacy.wal.guarding import AGAIN, broken
from adapters.legacy.wal.planning import members_of
from adapters.legacy.wal.slot import Slot, State, query
from adapters.legacy.wal.standing import Position, Standing, Watched, registry_of
from toolkit.commands import INSTALL_CAPTURE, RELAY
from toolkit.ports import Hole

_MEGABYTE = 1024 * 1024


def holes(
    connection: Connection, source: str, slot: Slot, standing: Standing | None, position: Position, limit: int
) -> Iterator[Hole]:
    """What is wrong between what was installed and what is there."""
    state = slot.state_in(connection)
    if standing is None:
        yield Hole(where=source, what="capture is not installed", next="install capture")
        return
    if what := broken(standing, position, state):
        yield Hole(where=f"slot {slot.name}", what=what, next=AGAIN)
    for what in position.truncated:
        yield Hole(where=f"slot {slot.name}", what=f"{what}; nothing is promised since", next=AGAIN)
    yield from _growth(connection, slot, state, limit)
    given = {row.oid: row for row in connection.execute(query("published"), _asked(slot))}
    for watched in registry_of(state.registry).values():
        yield from _of_table(connection, watched, given.get(watched.oid))


def _asked(slot: Slot) -> dict[str, str]:
    return {"publication": slot.publication, "outbox": slot.outbox}


def _growth(connection: Connection, slot: Slot, state: State, limit: int) -> Iterator[Hole]:
    where = f"slot {slot.name}"
    if state.wal_status == "unreserved":
        what = "the server is about to remove log that was not read yet"
        yield Hole(where=where, what=what, next=f"run `{RELAY}`, or raise max_slot_wal_keep_size")
    if state.retained is None or state.retained <= limit:
        return
    oldest = [f"{one.who} for {one.seconds} s" for one in connection.execute(query("oldest"))]
    what = f"the server keeps {state.retained // _MEGABYTE} MB of log for it (max_retained: {limit // _MEGABYTE} MB)"
    if oldest:
        next_ = f"end the transactions that have been open: {', '.join(oldest)}"
    else:
        next_ = f"run `{RELAY}`; if nobody will, `strangler capture remove` lets the log go"
    yield Hole(where=where, what=what, next=next_)


def _of_table(connection: Connection, watched: Watched, given: Any) -> Iterator[Hole]:
    members = members_of(connection, watched.relation)
    root = next((one for one in members if one.root), None)
    if root is None or root.oid != watched.oid:
        what = f"the table {watched.relation} is gone, renamed, or another one"
        yield Hole(where=watched.table, what=what, next=AGAIN)
        return
    yield from _publication(watched, given)
    yield from _columns(connection, watched, set(root.generated))
    if not watched.outbox:
        # What logs whole former rows at first, or was told to, has to go on doing so.
        changed = {relation for relation, _ in watched.identities}
        for one in members:
            if (
                (one.root or one.relkind != "p")
                and one.identity != "f"
                and _needs_full(watched, one, changed)
            ):
                what = f"{one.relation} does not log former rows: a row that moves to another subject leaves none behind"
                yield Hole(
                    where=watched.table, what=what, next=f"ALTER TABLE {one.relation} REPLICA IDENTITY FULL"
                )
    if root.row_security:
        what = "row security hides rows from this role: backfill does not find them"
        yield Hole(where=watched.table, what=what, next="give the role BYPASSRLS")
    if root.inherited:
        what = "tables inherit from it, and what is written to them is published apart"
        yield Hole(where=watched.table, what=what, next="capture them, too")


def _needs_full(watched: Watched, member: Any, changed: set[str]) -> bool:
    relation, identified = member.relation, member.identity_columns
    return relation in changed or not set(watched.subjects) <= set(identified)


def _publication(watched: Watched, given: Any) -> Iterator[Hole]:
    what = ""
    if given is None:
        what = "is not in the publication any more"
    elif not given.all_operations:
        what = "is published without all of its operations"
    elif not given.whole:
        what = "is published with a row filter or a column list"
    elif not given.via_root:
        what = "is published by partition"
    if what:
        yield Hole(where=watched.table, what=f"the table {what}: changes are missed", next=AGAIN)


def _columns(connection: Connection, watched: Watched, generated: set[str]) -> Iterator[Hole]:
    name = ".".join(part.replace('""', '"') for part in watched.relation[1:-1].split('"."')).lower()
    rows = connection.execute(of_engine("columns"), {"names": [name]})
    now = [row.column for row in rows if row.column not in generated]
    came = [quoted(one) for one in now if one not in watched.columns]
    went = [quoted(one) for one in watched.columns if one not in now]
    if gone := [one for one in watched.subjects if one not in now]:
        yield Hole(where=watched.table, what=f"the subject column {', '.join(gone)} is gone", next=AGAIN)
    elif came or went:
        said = [f"came: {', '.join(came)}"] if came else []
        said += [f"went: {', '.join(went)}"] if went else []
        what = f"its columns are not those of the installation ({'; '.join(said)}); changes show the new ones"
        yield Hole(
            where=watched.table, what=what, next=f"see that translators know them, then `{INSTALL_CAPTURE}`"
        )
