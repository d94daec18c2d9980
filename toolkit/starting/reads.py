"""The reads that could move: the views of a database, or one read for each aggregate where there is none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Protocol

import msgspec

from toolkit.starting import names
from toolkit.starting.aggregates import Role
from toolkit.starting.facts import Column, Kind, Table, View
from toolkit.starting.fields import Field, personal
from toolkit.starting.proposal import Entry, Part, Proposal
from toolkit.starting.rewriting import body, mentions, origins, rewritten, unquoted

_SQL_TYPES = {"str": "TEXT", "int": "BIGINT", "bool": "BOOLEAN", "dt.date": "DATE", "Decimal": "NUMERIC"}


class Trial(Protocol):
    """Tries a read on empty tables, whose CREATE statements come first."""

    def fault(self, tables: Sequence[str], sql: str, /) -> str:
        """What is wrong with it, or nothing."""

    def typed(self, tables: Sequence[str], sql: str, column: str, /) -> bool:
        """Does this column of it keep the type of a table's column, so that a text is compared as that type everywhere?"""


class Read(msgspec.Struct, frozen=True, kw_only=True):
    """One capability. `rules` are its compare rules as TOML writes them; `open` is what a person has to look at."""

    name: str
    means: str
    projections: tuple[str, ...]
    key: tuple[str, ...]
    subject: str
    rows: tuple[str, ...]
    legacy_sql: str
    read_sql: str
    keys_sql: str
    rules: dict[str, str]
    redact: tuple[str, ...]
    open: tuple[str, ...] = ()


class _Key(msgspec.Struct, frozen=True, kw_only=True):
    """The columns that a view is asked by, and the aggregate whose id they are (none: a person has to say)."""

    columns: tuple[Column, ...]
    entry: Entry | None
    kinds: tuple[Kind, ...]
    doubt: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(names.field_name(one.name) for one in self.columns)

    @property
    def asked(self) -> list[tuple[str, Column, Kind]]:
        """Each column with its parameter's name and kind."""
        return list(zip(self.names, self.columns, self.kinds, strict=True))


def reads(proposal: Proposal, trial: Trial) -> list[Read]:
    """Propose the capabilities."""
    views = [one for one in proposal.database.views if one.columns and proposal.entries]
    roots = [one for one in proposal.entries if one.member.role is not Role.CHILD]
    telling = [one for one in roots if one.member.role is Role.ROOT] or roots
    made = [_view(proposal, one, trial) for one in views] or [_root(proposal, one) for one in telling]
    taken: list[str] = []
    for one in made:
        taken.append(names.unique(one.name, taken))
    return [msgspec.structs.replace(one, name=name) for one, name in zip(made, taken, strict=True)]


def ddl(entry: Entry) -> str:
    """The table of an entry's read model, empty and only to try a read on."""
    fields = [(part.name, part.type) for part in entry.parts] + [(one.name, one.type) for one in entry.fields]
    listed = ", ".join(
        f"{quoted(name)} {_SQL_TYPES.get(type_, 'TEXT')}" for name, type_ in dict(fields).items()
    )
    return f"CREATE TABLE {quoted(entry.projection)} ({listed})"


def quoted(name: str) -> str:
    """A name in the read store's SQL: quoted, because it may be a word of SQL."""
    return f'"{name}"'


def parameter(name: str, kind: Kind, dialect: str) -> str:
    """The parameter as a legacy column's type wants it: what is typed at a command line is text."""
    if kind is Kind.INTEGER:
        return f"CAST(:{name} AS {'SIGNED' if dialect in ('mysql', 'mariadb') else 'BIGINT'})"
    if dialect == "postgresql" and kind in (Kind.DATE, Kind.INSTANT, Kind.LOCAL, Kind.DECIMAL, Kind.BOOLEAN):
        types = {
            Kind.DATE: "DATE",
            Kind.INSTANT: "TIMESTAMPTZ",
            Kind.LOCAL: "TIMESTAMP",
            Kind.BOOLEAN: "BOOLEAN",
        }
        return f"CAST(:{name} AS {types.get(kind, 'NUMERIC')})"
    return f":{name}"


def _asked(name: str, kind: Kind, *, typed: bool) -> str:
    """The parameter as the read store takes it, whichever of its engines that is.

    A column of a table needs no cast: each engine takes a text for its type there. SQLite does not do so for what is computed,
    and DECIMAL is the one number without a limit that a CAST may name on SQLite, PostgreSQL and MariaDB alike.
    """
    return f":{name}" if typed or kind is not Kind.INTEGER else f"CAST(:{name} AS DECIMAL(20, 0))"


# --- one read for an aggregate


def _root(proposal: Proposal, entry: Entry) -> Read:
    table, dialect = entry.table, proposal.database.dialect
    subject = [(part, table.column(part.columns[0])) for part in entry.subject]
    own = [one for one in entry.own if len(one.columns) == 1]
    fields = [_shown_part(table, one) for one in own] + list(entry.fields)
    shown = [
        *(f"{column.spelled} AS {part.name}" for part, column in subject),
        *(f"{_legacy(one, dialect)} AS {one.name}" for one in fields),
    ]
    compared = [*(part.name for part in entry.subject), *(one.name for one in fields)]
    where = [f"{one.spelled} = {_own_parameter(part.name, one, dialect)}" for part, one in subject]
    reading = ",\n".join(f"  {quoted(name)}" for name in compared)
    asked = [f"{quoted(one.name)} = :{one.name}" for one in entry.subject]
    rest = {column.upper() for one in entry.own for column in one.columns}
    keys = [f"{_as_asked(column, dialect)} AS {part.name}" for part, column in subject]
    return Read(
        name=names.kebab(entry.projection),
        means=f"What is on record of a {' '.join(names.words(entry.noun))}.",
        projections=(entry.projection,),
        key=tuple(part.name for part in entry.subject),
        subject=entry.subject[0].name if len(entry.subject) == 1 else "",
        rows=tuple(one.name for one in fields if one.upper in rest),
        legacy_sql=f"SELECT\n  {_lines(shown)}\nFROM {table.relation}\nWHERE {' AND '.join(where)}\n",
        read_sql=f"SELECT\n{reading}\nFROM {quoted(entry.projection)}\nWHERE {' AND '.join(asked)}\n",
        keys_sql=f"SELECT DISTINCT {', '.join(keys)} FROM {table.relation} ORDER BY {_places(keys)}\n",
        rules=dict(_rules((one.name, one) for one in fields)),
        redact=tuple(one.name for one in fields if one.name in personal(fields)),
        open=(f"{_unsaid(proposal)}: put the statement that the application sends here",),
    )


def _unsaid(proposal: Proposal) -> str:
    """Why a read is only guessed at: there is no view, or none that could be read."""
    unread = [one.name for one in proposal.database.views if one.trouble and not one.columns]
    if not unread:
        return "no view says how it is read today"
    return f"the views {', '.join(unread)} may say how it is read today, and could not be read"


def _shown_part(table: Table, part: Part) -> Field:
    """A column of the key, as a read shows it."""
    column = table.column(part.columns[0])
    return Field(name=part.name, column=column, type=part.type, reader=part.reader, optional=False)


def _places(columns: Sequence[str]) -> str:
    return ", ".join(str(at) for at in range(1, len(columns) + 1))


def _as_asked(column: Column, dialect: str) -> str:
    return _told(column.spelled, column, dialect)


def _told(spelled: str, column: Column, dialect: str) -> str:
    """A key as a consumer asks with it: a UUID, a date and an amount are text to everybody but the engine.

    So is such a subject in an event, and a read store that compares it with anything else may refuse to.
    """
    if not _is_uuid(column, dialect) and column.kind not in (Kind.DECIMAL, Kind.DATE):
        return spelled
    return f"CAST({spelled} AS {'CHAR' if dialect in ('mysql', 'mariadb') else 'TEXT'})"


def _is_uuid(column: Column, dialect: str) -> bool:
    return dialect == "postgresql" and "uuid" in column.declared.lower()


def _own_parameter(name: str, column: Column, dialect: str) -> str:
    if _is_uuid(column, dialect):
        return f"CAST(:{name} AS UUID)"
    return parameter(name, column.kind, dialect)


def _lines(parts: Sequence[str]) -> str:
    return ",\n  ".join(parts)


def _legacy(field: Field, dialect: str) -> str:
    """A column of the legacy answer, where what means nothing is NULL, as in the events."""
    spelled, sample = field.column.spelled, field.column.sample
    if field.type == "str" and field.column.kind in (Kind.DATE, Kind.INSTANT, Kind.LOCAL):
        return (
            spelled
            if dialect == "sqlite"
            else f"CAST({spelled} AS {'TEXT' if dialect == 'postgresql' else 'CHAR'})"
        )
    if field.day_number and sample is not None and sample.zeros:
        return f"NULLIF({spelled}, 0)"
    if field.codes is not None and sample is not None and any(not code.strip() for code in sample.counts):
        return f"NULLIF(TRIM({spelled}), '')"
    if dialect in ("mysql", "mariadb") and sample is not None and "0000-00-00" in sample.sentinels:
        return f"NULLIF(LEFT(CAST({spelled} AS CHAR), 10), '0000-00-00')"
    return spelled


def _rules(shown: Iterator[tuple[str, Field]] | Sequence[tuple[str, Field]]) -> Iterator[tuple[str, str]]:
    """Compare rules for columns whose legacy values are spelled otherwise than the projection's."""
    for name, field in shown:
        if field.codes is not None and not field.codes.enum:
            named = field.codes.named
            pairs = [
                f"{toml(code)} = {toml(word.lower() if field.codes.truth else word)}"
                for code, word in named.items()
            ]
            pairs += [f'{toml(code)} = ""' for code in field.codes.unnamed]
            yield name, f"{{ map = {{ {', '.join(pairs)} }} }}"
        elif field.column.kind is Kind.LOCAL and field.type == "dt.datetime":
            yield name, '{ zone = "UTC" }'


def toml(text: str) -> str:
    """A text as TOML writes it."""
    safe = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in safe) + '"'


# --- one read for a view


def _view(proposal: Proposal, view: View, trial: Trial) -> Read:
    key = _key_of(proposal, view)
    over, uses = _over_projections(proposal, view, key, trial)
    open_ = [key.doubt] if key.doubt else []
    rows, more = _rows(view, [one.name for one in key.columns])
    open_ += more
    if over:
        open_ += _coded(uses)
    else:
        over, uses, missing = _by_name(proposal, view, key)
        open_.append(
            f"the view could not be said over the projections by itself; to be written: {', '.join(missing)}"
        )
    entries = {field.name: field for entry in uses for field in entry.fields}
    hidden = {name for entry in uses for name in personal(entry.fields)}
    shown = _shown(view)
    same = [(name, entries[name]) for name in shown if name in entries]
    listed = [f"v.{one.spelled} AS {name}" for one, name in zip(view.columns, shown, strict=True)]
    dialect = proposal.database.dialect
    asked = [
        f"v.{column.spelled} = {_own_parameter(name, msgspec.structs.replace(column, kind=kind), dialect)}"
        for name, column, kind in key.asked
    ]
    return Read(
        name=names.kebab(view.name),
        means=f"What the view {view.name} shows.",
        projections=tuple(entry.projection for entry in uses),
        key=key.names,
        subject=key.names[0] if key.entry is not None and len(key.names) == 1 else "",
        rows=rows,
        legacy_sql=f"SELECT\n  {_lines(listed)}\nFROM {view.relation} v\nWHERE {' AND '.join(asked)}\n",
        read_sql=over,
        keys_sql=_keys(view, key, dialect),
        rules=dict(_rules(same)),
        redact=tuple(name for name in shown if name in hidden),
        open=tuple(open_),
    )


def _shown(view: View) -> list[str]:
    """What both answers call the view's columns."""
    shown: list[str] = []
    for one in view.columns:
        shown.append(names.unique(names.field_name(one.name), shown))
    return shown


def _key_of(proposal: Proposal, view: View) -> _Key:
    """The column a consumer is likely to ask by: an aggregate's id, under its own name or another; else one that is unique."""
    definition = unquoted(body(view.definition))
    near = set(mentions(definition, [one.table.name for one in proposal.entries]))
    near = near or {one.table.name for one in proposal.entries}
    roots = {one.group: one for one in proposal.entries if one.member.role is not Role.CHILD}
    ids = {
        tuple(part.columns[0].lower() for part in one.subject): roots[one.group]
        for one in sorted(proposal.entries, key=_standing, reverse=True)
        if one.table.name in near
    }
    shows = origins(view.definition)
    shown = {
        shows.get(one.name.lower(), one.name.lower()): one
        for one in reversed(view.columns)
        if _filled(view, one.name)
    }
    order = {name: at for at, name in enumerate(shown)}
    whole = [some for some in ids if all(name in shown for name in some)]
    if whole:  # the one that the view shows first
        chosen = max(whole, key=lambda some: min(order[name] for name in some))
        columns = tuple(shown[name] for name in chosen)
        return _Key(columns=columns, entry=ids[chosen], kinds=_kinds(ids[chosen]))
    unique = [
        one for one in view.columns if view.records and _filled(view, one.name) and _tells(view, [one.name])
    ]
    guess = (unique or list(view.columns))[0]
    doubt = f"no column of {view.name} is an aggregate's id: {guess.name} is a guess at what it is asked by"
    return _Key(columns=(guess,), entry=None, kinds=(guess.kind,), doubt=doubt)


def _standing(entry: Entry) -> tuple[bool, bool, int]:
    """Roots before what is part of them, before reference data; the greater table first."""
    return entry.member.role is Role.REFERENCE, entry.member.role is Role.CHILD, -entry.table.rows


def _kinds(entry: Entry) -> tuple[Kind, ...]:
    return tuple(entry.table.column(part.columns[0]).kind for part in entry.subject)


def _filled(view: View, column: str) -> bool:
    return all(record[column] is not None for record in view.records)


def _tells(view: View, columns: Sequence[str]) -> bool:
    seen = {tuple(record[one] for one in columns) for record in view.records}
    return len(seen) == len(view.records)


def _rows(view: View, key: Sequence[str]) -> tuple[tuple[str, ...], list[str]]:
    """The columns that tell the records of one answer apart, as far as the sampled records need any."""
    if not view.records:
        return (), [
            f"{view.trouble or 'no row was seen'}: if an answer has several records, say in `rows` what tells them apart"
        ]
    if _tells(view, key):
        return (), []
    others = [one.name for one in view.columns if one.name not in key and _filled(view, one.name)]
    for size in (1, 2, 3):
        for some in combinations(others[:12], size):
            if _tells(view, [*key, *some]):
                return tuple(names.field_name(one) for one in some), [
                    f"an answer has several records; {', '.join(some)} told {len(view.records)} sampled ones apart"
                ]
    return (), ["an answer has several records, and nothing tells them apart: say in `rows` what does"]


def _over_projections(proposal: Proposal, view: View, key: _Key, trial: Trial) -> tuple[str, list[Entry]]:
    projections = {one.table.name: one.projection for one in proposal.entries}
    select, tables = rewritten(view, proposal.database, projections)
    uses = [one for one in proposal.entries if one.table.name in tables]
    if not select or not uses:
        return "", []
    columns = [(one.name, name) for one, name in zip(view.columns, _shown(view), strict=True)]
    listed = [
        f"v.{quoted(column)} AS {name}" if column != name else f"v.{column}" for column, name in columns
    ]
    indented = "\n".join(f"  {line}" for line in select.splitlines())
    empty = [ddl(one) for one in uses]
    where = [
        f"v.{quoted(column.name)} = {_asked(name, kind, typed=trial.typed(empty, select, column.name))}"
        for name, column, kind in key.asked
    ]
    sql = f"SELECT\n  {_lines(listed)}\nFROM (\n{indented}\n) v\nWHERE {' AND '.join(where)}\n"
    return ("", []) if trial.fault(empty, sql) else (sql, uses)


def _coded(uses: Sequence[Entry]) -> list[str]:
    """What a view says of codes, the projections say in words."""
    coded = [
        f"{one.projection}.{field.name}"
        for one in uses
        for field in one.fields
        if field.codes is not None and not field.codes.enum and set(field.codes.values) - {"0", "1"}
    ]
    return (
        [f"the view's text speaks legacy codes where the projections have words: {', '.join(coded)}"]
        if coded
        else []
    )


def _by_name(proposal: Proposal, view: View, key: _Key) -> tuple[str, list[Entry], list[str]]:
    """The projection that has most of the view's columns; the rest is NULL until somebody writes it."""
    wanted = _shown(view)
    shows = origins(view.definition)

    def columns(entry: Entry) -> dict[str, str]:
        own = {one.column.name.lower(): one.name for one in entry.fields}
        own |= {part.columns[0].lower(): part.name for part in entry.parts if len(part.columns) == 1}
        return {
            name: own[origin]
            for one, name in zip(view.columns, wanted, strict=True)
            if (origin := shows.get(one.name.lower(), one.name.lower())) in own
        }

    near = mentions(unquoted(body(view.definition)), [one.table.name for one in proposal.entries])
    likely = [one for one in proposal.entries if one.table.name in near] or list(proposal.entries)
    best = max(likely, key=lambda one: (columns(one).keys() >= {*key.names}, len(columns(one))))
    if key.entry is not None and not columns(best).keys() >= {*key.names}:
        best = key.entry
    found = columns(best)
    listed = [
        f"{quoted(found[name])} AS {quoted(name)}"
        if name in found
        else f"NULL AS {quoted(name)} -- to be written"
        for name in wanted
    ]
    lines = [
        line.replace(" -- to be written", "," + " -- to be written") if "--" in line else f"{line},"
        for line in listed[:-1]
    ]
    lines.append(listed[-1])
    where = " AND ".join(
        f"{quoted(found[name]) if name in found else 'NULL'} = :{name}" for name in key.names
    )
    missing = [name for name in wanted if name not in found]
    text = "\n  ".join(lines)
    return f"SELECT\n  {text}\nFROM {quoted(best.projection)}\nWHERE {where}\n", [best], missing


def _keys(view: View, key: _Key, dialect: str) -> str:
    if view.records or key.entry is None:
        shown = [_told(f"v.{one.spelled}", one, dialect) for one in key.columns]
        source = (
            f"{view.relation} v WHERE {' AND '.join(f'v.{one.spelled} IS NOT NULL' for one in key.columns)}"
        )
    else:
        table = key.entry.table
        shown = [_as_asked(table.column(part.columns[0]), dialect) for part in key.entry.subject]
        source = table.relation
    listed = ", ".join(f"{column} AS {name}" for column, name in zip(shown, key.names, strict=True))
    return f"SELECT DISTINCT {listed} FROM {source} ORDER BY {_places(shown)}\n"
