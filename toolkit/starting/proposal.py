"""A whole project, proposed: aggregates, events, read models and capabilities for the tables and views of a database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from toolkit.starting import names
from toolkit.starting.aggregates import Group, Member, Role, group
from toolkit.starting.codes import Codes
from toolkit.starting.facts import Database, Kind, Table
from toolkit.starting.fields import Field, LeftOut, shape_of

_OUTBOX = frozenset(("ID", "AGGREGATETYPE", "AGGREGATEID", "TYPE", "PAYLOAD"))
_VERBS = {Role.ROOT: "Registered", Role.CHILD: "Recorded", Role.REFERENCE: "Listed"}
_HIDDEN = frozenset(("Projection", "Verb", "Decimal"))
"""Names that the module of projections imports; a class may not hide them."""


class Choices(msgspec.Struct, frozen=True, kw_only=True):
    """What a person says at the command line, with what stands for it where nothing was said."""

    name: str
    source: str
    context: str


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """The subject or the key of a row: what it is called, its type, and how it is read from a change."""

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
    subject: Part
    key: Part
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
        part = {column.upper() for column in self.key.columns}
        return tuple(one for one in self.fields if one.name not in own and one.upper not in part)

    @property
    def parts(self) -> tuple[Part, ...]:
        """Subject and key; one of them where they are the same."""
        return (self.subject,) if self.key.name == self.subject.name else (self.subject, self.key)


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
    keep = frozenset(name.upper() for name in {*table.key, *references, member.subject})
    shape = shape_of(table, keep)
    projection = names.snake(noun)
    subject = _subject(table, member.subject, shape.of(member.subject))
    key = subject if (member.subject,) == table.key else _key(table, projection, shape.fields)
    single = {one.columns[0].upper() for one in (subject, key) if len(one.columns) == 1}
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


def _subject(table: Table, column: str, field: Field | None) -> Part:
    name = field.name if field is not None else names.field_name(column)
    if table.column(column).kind is Kind.INTEGER:
        return Part(name=name, type="int", reader="int(change.subject)", columns=(column,))
    return Part(name=name, type="str", reader="change.subject", columns=(column,))


def _key(table: Table, projection: str, fields: Sequence[Field]) -> Part:
    """What tells one row of the read model from the others: the key's only column, or all of them as one text."""
    if len(table.key) == 1:
        column = table.column(table.key[0])
        name = next(one.name for one in fields if one.upper == column.name.upper())
        whole = column.kind is Kind.INTEGER
        reader = f"v.{'integer' if whole else 'text'}(change, {literal(column.name.upper())})"
        return Part(name=name, type="int" if whole else "str", reader=reader, columns=table.key)
    name = names.unique(f"{projection}_key", [one.name for one in fields])
    listed = ", ".join(literal(column.upper()) for column in table.key)
    return Part(name=name, type="str", reader=f"v.joined(change, {listed})", columns=table.key)


def literal(text: str) -> str:
    """A text as Python's source spells it, and as its formatters leave it: in double quotes unless that needs more escapes."""
    quote = "'" if text.count('"') > text.count("'") else '"'
    spelled = "".join(_char(char, quote) for char in text)
    return f"{quote}{spelled}{quote}"


def _char(char: str, quote: str) -> str:
    if char in ("\\", quote):
        return f"\\{char}"
    return char if char.isprintable() else repr(char)[1:-1]
