"""What reading the log needs in the legacy database, as statements: printed before, executed to the letter, taken away."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
from sqlalchemy import Connection, Row

from adapters.legacy.postgresql.tables import find_table, literal, quoted
from adapters.legacy.wal.slot import Slot, State, drop_slot, query
from adapters.legacy.wal.standing import Watched, comment_of
from toolkit.core.errors import Fault, UsageError
from toolkit.ports import CapturedTable

Member = Row[tuple[object, ...]]
_NOT_LOGGED = {"u": "is UNLOGGED", "t": "is temporary"}


def rights(connection: Connection, source: str, slot: Slot) -> list[Fault]:
    """What the server or the role lacks for reading the log."""
    found = connection.execute(query("rights"), {"slot": slot.name}).one()
    published = None if found.in_recovery else slot.state_in(connection)
    checks = [
        (found.in_recovery, "the server is a standby", "give the primary's URL: slots are read there"),
        (
            found.wal_level != "logical",
            f"wal_level is {found.wal_level}",
            "ALTER SYSTEM SET wal_level = logical, then restart the server",
        ),
        (
            not found.may_replicate,
            f"the role {found.role} may not read the log",
            f"ALTER ROLE {quoted(found.role)} REPLICATION",
        ),
        (
            not found.may_publish,
            f"the role {found.role} may not make publications",
            f"GRANT CREATE ON DATABASE {quoted(found.here)} TO {quoted(found.role)}",
        ),
        (
            found.taken_by is not None and found.taken_by != found.here,
            f"the slot {slot.name} belongs to the database {found.taken_by}",
            f"give another name: [legacy.{source}.wal] slot",
        ),
        (
            published is not None and published.published and published.registry is None,
            f"there is a publication {slot.publication} that is not ours",
            f"give another name: [legacy.{source}.wal] publication",
        ),
        (
            found.taken_by is None and found.used >= found.slots,
            f"all {found.slots} replication slots of the server are in use",
            "raise max_replication_slots, or drop one that nobody reads",
        ),
    ]
    return [
        Fault(where=f"legacy source {source}", what=what, next=next_)
        for wrong, what, next_ in checks
        if wrong
    ]


def refuse(faults: Sequence[Fault]) -> None:
    """Raise UsageError that says all of them, if there are any."""
    if faults:
        raise UsageError("; ".join(str(one) for one in faults))


def watch(
    connection: Connection, source: str, wanted: CapturedTable, *, full: bool
) -> tuple[Watched, list[Fault]]:
    """The table as it is to be captured, with the identities that have to change, and what speaks against it."""
    table = find_table(connection, source, wanted)
    members = members_of(connection, table.relation)
    root = next(one for one in members if one.root)
    where = f"legacy source {source}, table {wanted.table}"
    faults = [
        Fault(where=where, what=what, next=next_)
        for what, next_ in _against(members, root, table.subjects, table.keys)
    ]
    watched = Watched(
        table=table.table,
        relation=table.relation,
        subject=table.subject,
        outbox=table.outbox,
        keys=table.keys,
        columns=tuple(name for name in table.columns if name not in root.generated),
        oid=root.oid,
        partitioned=root.relkind == "p",
        chosen=table.chosen,
        identities=() if table.outbox else tuple(_identities(members, table.subjects, full)),
    )
    return watched, faults


def members_of(connection: Connection, relation: str) -> list[Member]:
    """The table and its partitions; nothing when there is no such table."""
    return list(connection.execute(query("members"), {"relation": relation}))


def existing(connection: Connection, watched: Watched) -> Watched:
    """The table without the relations that are gone by now: nothing can be given back to them."""
    there = [one for one in watched.identities if members_of(connection, one[0])]
    return msgspec.structs.replace(watched, identities=tuple(there))


def _against(
    members: Sequence[Member], root: Member, subjects: Sequence[str], keys: Sequence[str]
) -> Iterator[tuple[str, str]]:
    for one in members:
        if one.relpersistence in _NOT_LOGGED:
            yield (
                f"{one.relation} {_NOT_LOGGED[one.relpersistence]}: the log does not have it",
                "SET LOGGED, or leave it out",
            )
        if not one.owned:
            yield (
                f"{one.relation} belongs to another role",
                "install as its owner: only the owner may publish it",
            )
    for name in {*subjects, *keys} & set(root.generated):
        yield f"{name} is a generated column, which the log does not have", "capture by trigger instead"


def _identities(members: Sequence[Member], subjects: Sequence[str], full: bool) -> Iterator[tuple[str, str]]:
    """Relations that have to log whole former rows, with the identity they have now.

    Partitions, for they hold the rows; and the table itself, by which the log says what it holds.
    """
    for one in members:
        if one.identity == "f" or (one.relkind == "p" and not one.root):
            continue
        if full or not set(subjects) <= set(one.identity_columns):
            index = f"USING INDEX {one.identity_index}"
            yield one.relation, {"d": "DEFAULT", "n": "NOTHING"}.get(one.identity, index)


def install(slot: Slot, state: State, was: dict[str, Watched], becomes: dict[str, Watched]) -> list[str]:
    """The statements from the one registry to the other."""
    name, outbox = quoted(slot.publication), quoted(slot.outbox)
    statements = []
    fresh = not state.published
    if fresh:
        statements += [f"DROP PUBLICATION {outbox}"] if state.outbox_published else []
        statements += [
            f"CREATE PUBLICATION {name} WITH (publish = 'insert, update, delete, truncate', publish_via_partition_root = true)",
            # Its own: where only inserts are published, a table without a primary key can still be updated and deleted.
            f"CREATE PUBLICATION {outbox} WITH (publish = 'insert', publish_via_partition_root = true)",
        ]
    for table, watched in becomes.items():
        before = was.get(table)
        if before is not None and (before.oid, before.outbox) != (watched.oid, watched.outbox):
            statements += take(slot, before)
            before = None
        if before is None:
            statements.append(
                f"ALTER PUBLICATION {outbox if watched.outbox else name} ADD TABLE {watched.relation}"
            )
        known = {relation for relation, _ in before.identities} if before else set()
        for relation, _ in watched.identities:
            if relation not in known:
                statements.append(f"ALTER TABLE {relation} REPLICA IDENTITY FULL")
    if fresh or was != becomes:
        statements.append(note(slot, becomes))
    return statements


def note(slot: Slot, becomes: dict[str, Watched]) -> str:
    """The statement that keeps what is captured, where it is captured."""
    return f"COMMENT ON PUBLICATION {quoted(slot.publication)} IS {literal(comment_of(becomes))}"


def take(slot: Slot, watched: Watched) -> list[str]:
    """The statements that take one table away again."""
    publication = quoted(slot.outbox if watched.outbox else slot.publication)
    return [
        f"ALTER PUBLICATION {publication} DROP TABLE {watched.relation}",
        *(f"ALTER TABLE {relation} REPLICA IDENTITY {identity}" for relation, identity in watched.identities),
    ]


def remove(slot: Slot, tables: Sequence[Watched], left: dict[str, Watched]) -> list[str]:
    """The statements that take these tables away, and everything with the last of them."""
    if left:
        statements = [one for watched in reversed(tables) for one in take(slot, watched)]
        return [
            *statements,
            note(slot, left),
        ]
    return [
        *(
            f"ALTER TABLE {relation} REPLICA IDENTITY {identity}"
            for watched in reversed(tables)
            for relation, identity in watched.identities
        ),
        f"DROP PUBLICATION IF EXISTS {quoted(slot.outbox)}",
        f"DROP PUBLICATION IF EXISTS {quoted(slot.publication)}",
        drop_slot(slot.name),
    ]


def merged(watched: Watched, before: Watched | None) -> Watched:
    """A table that stays captured keeps what its identities were at first."""
    if before is None or before.outbox != watched.outbox:
        return watched
    known = dict(before.identities)
    return msgspec.structs.replace(
        watched, identities=(*before.identities, *(one for one in watched.identities if one[0] not in known))
    )
