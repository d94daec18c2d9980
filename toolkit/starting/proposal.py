"""A whole project, proposed: aggregates, events, read models and capabilities for the tables and views of a database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from toolkit.starting import names
from toolkit.starting.aggregates import Group, Member, Role, group
from toolkit.starting.codes import Codes
from toolkit.starting.facts import Database, Kind, Table
from toolkit.starting.fields import Field, LeftOut, Shape, shape_of

_OUTBOX = frozenset(("ID", "AGGREGATETYPE", "AGGREGATEID", "TYPE", "PAYLOAD"))
_VERBS = {Role.ROOT: "Registered", Role.CHILD: "Recorded", Role.REFERENCE: "Listed"}
_HIDDEN = frozenset(("Projection", "Verb", "Decimal"))
"""Names that the module of projections imports; a class may not hide them."""


class Choices(msgspec.Struct, frozen=True, kw_only=True):
    """What a person says at the command line, with what stands for it where nothing was said."""

    name: str
    source: str
    context: str
    own_state: bool = False
    """Does the read store's database refuse to keep the toolkit's own state, too?"""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the subject or of the key of a row: what it is called, its type, and how it is read from a change.

    It is one column, but where a key has columns that no read model has in its key: then all of them, as one text.
    """

    name: str
    type: str
    reader: str
    columns: tuple[str, ...]


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """An event of its own for one coded column."""

    event: str
    field: Field


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One captured table: its place, its events and its read model."""

    member: Member
    group: str
    noun: str
    projection: str
    function: str
    subject: tuple[Part, ...]
    key: tuple[Part, ...]
    fields: tuple[Field, ...]
    left_out: tuple[LeftOut, ...]
    watermarks: tuple[str, ...]
    recorded: str
    changed: str
    withdrawn: str
    statuses: tuple[Status, ...]

    @property
    def table(self) -> Table:
        """The table itself."""
        return self.member.table

    @property
    def details(self) -> tuple[Field, ...]:
        """What the event of changed details carries: what has no event of its own and is no part of the row's key."""
        own = {one.field.name for one in self.statuses}
        part = {column.upper() for one in self.key for column in one.columns}
        return tuple(one for one in self.fields if one.name not in own and one.upper not in part)

    @property
    def parts(self) -> tuple[Part, ...]:
        """Subject and key, each part once."""
        return (*self.subject, *self.own)

    @property
    def own(self) -> tuple[Part, ...]:
        """What tells the rows of one subject apart: the parts of the key that are none of the subject."""
        return tuple(one for one in self.key if one not in self.subject)

    @property
    def besides(self) -> tuple[Part, ...]:
        """The parts of the subject that are none of the key."""
        return tuple(one for one in self.subject if one not in self.key)


class Skipped(msgspec.Struct, frozen=True, kw_only=True):
    """A table that is not captured, why, and what could be done about it."""

    table: str
    why: str
    next: str


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is written down, before it is."""

    choices: Choices
    database: Database
    groups: tuple[Group, ...]
    entries: tuple[Entry, ...]
    skipped: tuple[Skipped, ...]

    @property
    def codes(self) -> list[Codes]:
        """All code tables."""
        return [one.codes for entry in self.entries for one in entry.fields if one.codes is not None]

    def entry(self, table: str) -> Entry | None:
        """The entry of a table."""
        return next((one for one in self.entries if one.table.name == table), None)


def propose(database: Database, choices: Choices) -> Proposal:
    """Propose a project."""
    skipped = skip(database.tables)
    out = {one.table for one in skipped}
    groups = group([table for table in database.tables if table.name not in out])
    taken = _Taken([table.name for table in database.tables])
    called = keys_by_name(database.tables)
    entries = [_entry(one, member, taken, called) for one in groups for member in one.members]
    return Proposal(
        choices=choices,
        database=database,
        groups=tuple(groups),
        entries=tuple(entries),
        skipped=tuple(skipped),
    )


def skip(tables: Sequence[Table]) -> list[Skipped]:
    """The tables that cannot be captured as they are, or should not be."""
    folded = Counter(table.name.upper() for table in tables)
    found = []
    for table in tables:
        if not table.columns:
            found.append(Skipped(table=table.name, why="it has no columns", next="leave it out"))
        elif folded[table.name.upper()] > 1:
            why = "another table's name differs only in case, and capture could not tell them apart"
            found.append(Skipped(table=table.name, why=why, next="rename one of them"))
        elif double := _doubled(table):
            why = f"its columns {', '.join(double)} differ only in case, and are one to translators"
            found.append(Skipped(table=table.name, why=why, next="rename one of them"))
        elif {column.name.upper() for column in table.columns} >= _OUTBOX:
            why = (
                "it is an outbox in Debezium's layout: what the application says there is better than any row"
            )
            next_step = (
                "list it under `outbox`, add it to an aggregate, and write @acl.outbox rules for its types"
            )
            found.append(Skipped(table=table.name, why=why, next=next_step))
        elif not table.key:
            why = (
                "it has no primary key and no unique index over columns that are never NULL, so that a row that "
                "backfill finds has no name of its own"
            )
            next_step = (
                "give it a key, name the columns that identify a row ([legacy.NAME.table.T] key), or leave it"
            )
            found.append(Skipped(table=table.name, why=why, next=next_step))
    return found


def _doubled(table: Table) -> list[str]:
    folded = Counter(column.name.upper() for column in table.columns)
    return [column.name for column in table.columns if folded[column.name.upper()] > 1]


class _Taken:
    """The names that are given away, for the whole project."""

    def __init__(self, tables: Sequence[str]) -> None:
        self._tables = {"".join(char for char in name.lower() if char.isalnum()) for name in tables}
        self._events: list[str] = []
        self._nouns: list[str] = []

    def noun(self, table: str) -> str:
        wanted = names.noun(table)
        wanted = f"{wanted}Entry" if wanted in _HIDDEN else wanted
        self._nouns.append(names.unique(wanted, self._nouns))
        return self._nouns[-1]

    def event(self, stem: str, *verbs: str) -> str:
        """The first of these facts that is not told already, and that is not called after a table."""
        for verb in verbs:
            name = f"{stem}{verb}"
            if name not in self._events and not (verb == "Changed" and stem.lower() in self._tables):
                self._events.append(name)
                return name
        self._events.append(names.unique(f"{stem}{verbs[-1]}", self._events))
        return self._events[-1]


def keys_by_name(tables: Sequence[Table]) -> dict[str, str]:
    """Names that are the whole key of exactly one table; `id` is everybody's."""
    found = Counter(table.key[0].upper() for table in tables if len(table.key) == 1)
    return {
        name: table.name
        for table in tables
        if len(table.key) == 1 and found[name := table.key[0].upper()] == 1 and name != "ID"
    }


def undeclared(table: Table, called: Mapping[str, str]) -> dict[str, str]:
    """Columns that are called as another table's key, though no foreign key says so."""
    declared = {name.upper() for key in table.foreign_keys for name in key.columns}
    own = {name.upper() for name in table.key}
    return {
        column.name: called[name]
        for column in table.columns
        if (name := column.name.upper()) in called
        and called[name] != table.name
        and name not in declared | own
    }


def _entry(of: Group, member: Member, taken: _Taken, called: Mapping[str, str]) -> Entry:
    table, noun = member.table, taken.noun(member.table.name)
    references = {name for key in table.foreign_keys for name in key.columns} | undeclared(
        table, called
    ).keys()
    keep = frozenset(name.upper() for name in {*table.key, *references, *member.subject})
    shape = shape_of(table, keep)
    projection = names.snake(noun)
    subject = tuple(_subject(table, member.subject, at, shape) for at in range(len(member.subject)))
    key = _key(table, projection, subject, shape)
    single = {one.columns[0].upper() for one in (*subject, *key) if len(one.columns) == 1}
    fields = tuple(one for one in shape.fields if one.upper not in single)
    coded = [one for one in fields if one.codes is not None]
    return Entry(
        member=member,
        group=of.name,
        noun=noun,
        projection=projection,
        function=f"{projection}_" if names.field_name(projection) != projection else projection,
        subject=subject,
        key=key,
        fields=fields,
        left_out=shape.left_out,
        watermarks=shape.watermarks,
        recorded=taken.event(noun, _VERBS[member.role], "Recorded", "Entered"),
        changed=taken.event(f"{noun}Details", "Changed", "Altered"),
        withdrawn=taken.event(noun, "Withdrawn", "Ended"),
        statuses=tuple(
            Status(event=taken.event(f"{noun}{names.pascal(one.name)}", "Changed", "Altered"), field=one)
            for one in coded
        ),
    )


def _subject(table: Table, columns: Sequence[str], at: int, shape: Shape) -> Part:
    column, field = columns[at], shape.of(columns[at])
    name = field.name if field is not None else names.field_name(column)
    read = "change.subject" if len(columns) == 1 else f"v.part(change, {at})"
    if table.column(column).kind is Kind.INTEGER:
        return Part(name=name, type="int", reader=f"int({read})", columns=(column,))
    return Part(name=name, type="str", reader=read, columns=(column,))


def _key(table: Table, projection: str, subject: Sequence[Part], shape: Shape) -> tuple[Part, ...]:
    """What tells one row of the read model from the others: the key's columns, or all of them as one text."""
    known = {part.columns[0].upper(): part for part in subject}
    own = [shape.of(name) for name in table.key if name.upper() not in known]
    if len(table.key) > 1 and not all(one is not None and _in_key(one) for one in own):
        name = names.unique(f"{projection}_key", [one.name for one in shape.fields])
        listed = ", ".join(literal(column.upper()) for column in table.key)
        return (Part(name=name, type="str", reader=f"v.joined(change, {listed})", columns=table.key),)
    known |= {one.upper: _column(one) for one in own if one is not None}
    return tuple(known[name.upper()] for name in table.key)


def _in_key(field: Field) -> bool:
    """Has the column a type that a read model's key may have, and always a value?"""
    sample = field.column.sample
    never_empty = sample is None or "0000-00-00" not in sample.sentinels
    return field.type in ("str", "int", "dt.date") and never_empty


def _column(field: Field) -> Part:
    """A column of the key. It has a value in every row: one without is parked."""
    whole = field.column.kind is Kind.INTEGER
    type_ = "dt.date" if field.type == "dt.date" and _in_key(field) else "int" if whole else "str"
    read = {"int": "integer", "dt.date": "date", "str": "text"}[type_]
    reader = f"v.{read}(change, {literal(field.upper)})"
    return Part(name=field.name, type=type_, reader=reader, columns=(field.column.name,))


def spelled(names_: Sequence[str]) -> str:
    """One name, or a tuple of several, as Python's source spells it."""
    listed = ", ".join(literal(name) for name in names_)
    return listed if len(names_) == 1 else f"({listed})"


def literal(text: str) -> str:
    """A text as Python's source spells it, and as its formatters leave it: in double quotes unless that needs more escapes."""
    quote = "'" if text.count('"') > text.count("'") else '"'
    spelled = "".join(_char(char, quote) for char in text)
    return f"{quote}{spelled}{quote}"


def _char(char: str, quote: str) -> str:
    if char in ("\\", quote):
        return f"\\{char}"
    return char if char.isprintable() else repr(char)[1:-1]
