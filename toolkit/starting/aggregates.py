"""Which tables make up one aggregate: what the keys and foreign keys of a database say of it, with the reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum

import msgspec

from toolkit.starting import names
from toolkit.starting.facts import ForeignKey, Kind, Table
from toolkit.starting.fields import is_watermark

_FEW_ROWS = 250
_LOOKUP_COLUMNS = 4
_REFERRED_MORE = 3
_NOTED = 128
"""As much of the names of a subject's columns as capture notes."""
_ONE_TEXT = (Kind.TEXT, Kind.INTEGER, Kind.OTHER)


class Role(StrEnum):
    """What a table is in its aggregate."""

    ROOT = "root"
    CHILD = "child"
    REFERENCE = "reference"
    """A lookup table: few rows that many others refer to."""


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One table's place; `subject` are the columns that hold the aggregate's id."""

    table: Table
    role: Role
    subject: tuple[str, ...]
    reason: str


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """One proposed aggregate: its root first."""

    name: str
    members: tuple[Member, ...]

    @property
    def root(self) -> Member:
        """The table that leads."""
        return self.members[0]


class _Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A parent that a table may belong to, and how strong the reason is (0 is the strongest)."""

    parent: Table
    key: ForeignKey
    strength: int
    reason: str


def group(tables: Sequence[Table]) -> list[Group]:
    """Propose the aggregates; every table belongs to exactly one."""
    known = {table.name: table for table in tables}
    lookups = {table.name for table in tables if _is_lookup(table, tables)}
    claims = {table.name: _claim(table, known, lookups) for table in tables}
    places = _Places(claims)
    members: dict[str, list[Member]] = {}
    for table in sorted(tables, key=lambda one: places.of(one)[0] != one.name):  # roots first
        root, subject = places.of(table)
        if root == table.name:
            members[root] = [_root(table, subject, lookups, tables)]
        else:
            claim = claims[table.name]
            reason = claim.reason if claim is not None else ""
            members[root].append(Member(table=table, role=Role.CHILD, subject=subject, reason=reason))
    taken: list[str] = []
    groups = []
    for found in members.values():
        taken.append(names.unique(names.snake(names.noun(found[0].table.name)), taken))
        groups.append(Group(name=taken[-1], members=tuple(found)))
    return groups


def _is_lookup(table: Table, tables: Sequence[Table]) -> bool:
    if any(key.table != table.name for key in table.foreign_keys) or len(table.key) != 1:
        return False
    telling = [column for column in table.columns if not is_watermark(column)]
    if table.at_least or table.rows > _FEW_ROWS or len(telling) > _LOOKUP_COLUMNS - 1:
        return False
    referring = [
        one.rows for one in tables for key in one.foreign_keys if key.table == table.name and one is not table
    ]
    return bool(referring) and sum(referring) >= table.rows * _REFERRED_MORE


def _claim(table: Table, known: Mapping[str, Table], lookups: set[str]) -> _Claim | None:
    """The strongest claim of a parent on the table; a lookup is nobody's child, and nobody's parent if another is."""
    if table.name in lookups:
        return None
    claims = list(_claims(table, known))
    owners = [claim for claim in claims if claim.parent.name not in lookups]
    if not owners and len(table.key) > 1:
        owners = [claim for claim in claims if claim.strength == 0]
    if not owners:
        return None
    # Of two parents, the one with more rows: its aggregates stay small (a film's actors, not an actor's films).
    return min(owners, key=lambda claim: (claim.strength, -claim.parent.rows, claim.parent.name))


def _claims(table: Table, known: Mapping[str, Table]) -> Iterator[_Claim]:
    key = {column.upper() for column in table.key}
    for reference in [*table.foreign_keys, *_by_convention(table, known)]:
        parent = known.get(reference.table)
        if parent is None or parent is table or _nullable(table, reference) or not _by_key(parent, reference):
            continue
        told = reference in table.foreign_keys
        columns = ", ".join(reference.columns)
        if {column.upper() for column in reference.columns} <= key:
            why = "is part of its key" if told else f"is part of its key and named as {parent.name}'s key"
            undeclared = "" if told else " (no foreign key is declared)"
            yield _Claim(
                parent=parent, key=reference, strength=0 if told else 1, reason=f"{columns} {why}{undeclared}"
            )
        elif reference.cascade:
            yield _Claim(
                parent=parent,
                key=reference,
                strength=2,
                reason=f"{columns} goes with its {parent.name} (ON DELETE CASCADE)",
            )
        elif told and _named_after(table, parent):
            yield _Claim(
                parent=parent,
                key=reference,
                strength=3,
                reason=f"{columns} is never empty, and the table is named after {parent.name}",
            )


def _by_convention(table: Table, known: Mapping[str, Table]) -> Iterator[ForeignKey]:
    """A part of the key that is called exactly as another table's whole key refers to it, declared or not."""
    declared = {column.upper() for key in table.foreign_keys for column in key.columns}
    for column in table.key if len(table.key) > 1 else ():
        if column.upper() in declared or column.upper() == "ID":
            continue
        for other in known.values():
            if [one.upper() for one in other.key] == [column.upper()]:
                yield ForeignKey(columns=(column,), table=other.name, referred=other.key)


def _nullable(table: Table, reference: ForeignKey) -> bool:
    return any(table.column(name).nullable for name in reference.columns)


def _by_key(parent: Table, reference: ForeignKey) -> bool:
    return {name.upper() for name in reference.referred} == {name.upper() for name in parent.key}


def _named_after(table: Table, parent: Table) -> bool:
    child, owner = names.words(table.name), names.words(parent.name)
    owner[-1] = names.singular(owner[-1])
    start = child[: len(owner)]
    start[-1] = names.singular(start[-1])
    return len(child) > len(owner) and start == owner


def _root(table: Table, subject: tuple[str, ...], lookups: set[str], tables: Sequence[Table]) -> Member:
    if table.name in lookups:
        count = sum(any(key.table == table.name for key in other.foreign_keys) for other in tables)
        told = "1 table refers to it" if count == 1 else f"{count} tables refer to it"
        reason = f"about {table.rows:,} rows, no reference to others, and {told}"
        return Member(table=table, role=Role.REFERENCE, subject=subject, reason=reason)
    own = ", ".join(table.key)
    if len(subject) == len(table.key):
        reason = f"has a key of its own ({own}), and nothing says that it is part of another table's rows"
    else:
        told = ", ".join(subject)
        reason = f"its key is {own}, which is too much for a subject or not all text and whole numbers; order is kept for each {told}"
    return Member(table=table, role=Role.ROOT, subject=subject, reason=reason)


def own_id(table: Table) -> tuple[str, ...]:
    """The key, if its values have one text each on every engine; else its column that is most likely the row's own number."""
    short = sum(len(name) + 3 for name in table.key) < _NOTED
    if short and all(table.column(name).kind in _ONE_TEXT for name in table.key):
        return table.key
    return (_own_number(table),)


def _own_number(table: Table) -> str:
    own = names.words(names.noun(table.name))
    likely = {"_".join([*own, ending]) for ending in ("id", "no", "nr", "number", "key", "code", "cd")} | {
        "id"
    }
    for column in table.key:
        if "_".join(names.words(column)) in likely:
            return column
    referring = {name.upper() for key in table.foreign_keys for name in key.columns}
    return next((column for column in table.key if column.upper() in referring), table.key[0])


class _Places:
    """Where each table stands: under its parent's root, as long as its row holds that root's id; else by itself."""

    def __init__(self, claims: Mapping[str, _Claim | None]) -> None:
        self._claims = claims
        self._known: dict[str, tuple[str, tuple[str, ...]]] = {}

    def of(self, table: Table, below: frozenset[str] = frozenset()) -> tuple[str, tuple[str, ...]]:
        """The root's name, and the columns of this table that hold the root's id."""
        if table.name not in self._known:
            self._known[table.name] = self._under(table, below | {table.name}) or (table.name, own_id(table))
        return self._known[table.name]

    def _under(self, table: Table, below: frozenset[str]) -> tuple[str, tuple[str, ...]] | None:
        claim = self._claims[table.name]
        if claim is None or claim.parent.name in below:
            return None
        root, subject = self.of(claim.parent, below)
        here = {
            referred.upper(): column
            for referred, column in zip(claim.key.referred, claim.key.columns, strict=True)
        }
        if any(column.upper() not in here for column in subject):
            return None
        return root, tuple(here[column.upper()] for column in subject)
