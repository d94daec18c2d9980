"""The triggers that capture a SQLite table, as the statements that make them and take them away."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from adapters.legacy.images import Captured, Chosen, columns_noted, noted
from adapters.legacy.sqlite.tables import SPELLING, literal, quoted

NOW = "strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000+00:00'"
"""The clock as `migrations.schema.types.Instant` keeps it; SQLite counts milliseconds."""

_COLUMN = re.compile(r'\b(OLD|NEW)\."((?:[^"]|"")*)"')
FIRST_NUMBER = (
    # Numbers begin at the microseconds of the installation: installed anew, capture never gives a number twice,
    # so that no later event gets the id of an earlier one.
    "INSERT INTO sqlite_sequence (name, seq)"
    " VALUES ('strangler_change', CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) * 1000)"
)


def image(row: str, columns: Sequence[str]) -> str:
    """The JSON of a row, by concatenation: json_object takes 127 arguments, and tables may be wider.

    Blobs as hex, infinities as text: JSON has neither.
    """
    pieces = []
    for at, name in enumerate(columns):
        value = f"{row}.{quoted(name)}"
        key = msgspec.json.encode(name).decode()
        lead = "{" if at == 0 else ","
        safe = (
            f"CASE typeof({value}) WHEN 'blob' THEN hex({value})"
            f" WHEN 'real' THEN CASE WHEN abs({value}) > 1.7976931348623157e308 THEN CAST({value} AS TEXT)"
            f" ELSE {value} END ELSE {value} END"
        )
        pieces.append(f"{literal(lead + key + ':')} || json_quote({safe})")
    return " || ".join([*pieces, "'}'"])


def subject(row: str, table: Captured) -> str:
    """The subject of a row as text without padding; a row without one has the empty subject."""
    texts = [f"rtrim(CAST({row}.{quoted(name)} AS TEXT))" for name in table.subjects]
    return f"coalesce({texts[0]}, '')" if len(texts) == 1 else SPELLING.subject(texts)


def names(table: Captured) -> tuple[str, ...]:
    """The triggers a captured table has."""
    verbs = ("insert",) if table.outbox else ("insert", "update", "move", "delete")
    return tuple(f"strangler_{table.table.lower()}_{verb}" for verb in verbs)


def create(table: Captured) -> tuple[str, ...]:
    """The statements that make the triggers, in the order of `names`."""
    old, new = image("OLD", table.columns), image("NEW", table.columns)
    of_old, of_new = subject("OLD", table), subject("NEW", table)
    inserted = _record(table, "insert", of_new, "NULL", new)
    deleted = _record(table, "delete", of_old, old, "NULL")
    bodies = [("INSERT", "", inserted)]
    if not table.outbox:
        listed = f" AND {old} <> {new}" if table.chosen != Chosen() else ""
        bodies += [
            ("UPDATE", f" WHEN {of_old} = {of_new}{listed}", _record(table, "update", of_new, old, new)),
            # A row that moves to another subject leaves the one and comes to the other: both must hear of it.
            ("UPDATE", f" WHEN {of_old} <> {of_new}", deleted + inserted),
            ("DELETE", "", deleted),
        ]
    return tuple(
        f"CREATE TRIGGER {quoted(name)} AFTER {event} ON {table.relation} FOR EACH ROW{when} BEGIN{body} END"
        for name, (event, when, body) in zip(names(table), bodies, strict=True)
    )


def renamed(sql: str, columns: Mapping[str, str]) -> str:
    """The statement as SQLite has it after columns were renamed: it follows them in triggers, but knows no texts."""

    def follow(found: re.Match[str]) -> str:
        row, name = found[1], found[2].replace('""', '"')
        return f"{row}.{quoted(columns[name])}" if name in columns else found[0]

    return _COLUMN.sub(follow, sql) if columns else sql


def drop(table: Captured) -> tuple[str, ...]:
    """The statements that take the triggers away."""
    return tuple(f"DROP TRIGGER IF EXISTS {quoted(name)}" for name in reversed(names(table)))


def register(table: Captured) -> str:
    """The statement that notes what was installed; a table that stays captured keeps the instant since when it is."""
    values = [
        literal(table.table),
        literal(table.relation),
        literal(columns_noted(table.subject)),
        str(int(table.outbox)),
        *map(literal, noted(table)),
    ]
    at = table.installed_at
    since = NOW if at is None else literal(at.isoformat(timespec="microseconds"))
    return (
        'INSERT INTO strangler_captured (table_name, relation, subject, outbox, "keys", "columns", chosen, shape, installed_at)'
        f" VALUES ({', '.join(values)}, {since})"
    )


def unregister(table: Captured) -> str:
    """The statement that forgets it."""
    return f"DELETE FROM strangler_captured WHERE table_name = {literal(table.table)}"


def _record(table: Captured, op: str, of: str, before: str, after: str) -> str:
    return (
        ' INSERT INTO strangler_change (table_name, op, subject, "before", "after", captured_at)'
        f" VALUES ({literal(table.table)}, '{op}', {of}, {before}, {after}, {NOW});"
    )
