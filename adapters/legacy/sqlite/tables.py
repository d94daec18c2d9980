"""What SQLite knows of its tables: names as they are spelt, columns, keys, and how subjects compare."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec
from sqlalchemy import Connection, text

from adapters.legacy.images import Captured, Shape
from adapters.legacy.joined import Spelling
from adapters.legacy.wanted import check_key, spelt
from toolkit.core.errors import UsageError
from toolkit.ports import CapturedTable


class Affinity(msgspec.Struct, frozen=True, kw_only=True):
    """How SQLite compares a column: as numbers or as text, and with which collation it is indexed (if it is)."""

    numeric: bool
    text: bool
    collation: str | None


def find_table(connection: Connection, source: str, wanted: CapturedTable) -> Captured:
    """The table as SQLite spells it. Raises UsageError when it cannot be captured, or not as it is wanted."""
    where = f"legacy source {source}, table {wanted.table}"
    sql = "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND lower(name) = lower(:name)"
    row = connection.execute(text(sql), {"name": wanted.table}).one_or_none()
    if row is None:
        raise UsageError(f"{where}: there is no such table (views cannot be captured)")
    if str(row.sql).upper().startswith("CREATE VIRTUAL"):
        raise UsageError(f"{where}: a virtual table has no triggers; capture the tables beneath")
    if wanted.statement:
        raise UsageError(
            f"{where}: statement = true is not possible: SQLite has row triggers only; leave it out"
        )
    table = spelt(wanted, where, quoted(row.name), shape_of(connection, row.name))
    if not table.enforced:
        check_key(connection, where, table, quoted)
    return table


def shape_of(connection: Connection, name: str) -> Shape:
    """What a table is like now."""
    rows = connection.execute(
        text("SELECT name, type FROM pragma_table_xinfo(:name) WHERE hidden <> 1"), {"name": name}
    )
    return Shape(columns={row.name: row.type for row in rows}, key=_key(connection, name))


def _key(connection: Connection, name: str) -> tuple[str, ...]:
    info = connection.execute(
        text('SELECT name, "notnull" AS filled, pk FROM pragma_table_info(:name)'), {"name": name}
    ).all()
    primary = tuple(row.name for row in sorted(info, key=lambda row: int(row.pk)) if row.pk)
    if primary:
        return primary
    filled = {row.name for row in info if row.filled}
    indexes = connection.scalars(
        text('SELECT name FROM pragma_index_list(:name) WHERE "unique" AND NOT partial ORDER BY name'),
        {"name": name},
    )
    for index in list(indexes):
        members = tuple(
            connection.scalars(text("SELECT name FROM pragma_index_info(:index)"), {"index": index})
        )
        if members and set(members) <= filled:
            return members
    return ()


def _split(text: str, at: int) -> str:
    for _ in range(at):
        text = f"substr({text}, instr({text} || '/', '/') + 1)"
    return f"substr({text}, 1, instr({text} || '/', '/') - 1)"


SPELLING = Spelling(join=" || '/' || ".join, split=_split, rows=True)


def affinities_of(connection: Connection, table: Captured) -> list[Affinity]:
    """How the subject's columns compare (https://sqlite.org/datatype3.html, 3.1)."""
    return [_affinity(connection, table, at) for at in range(len(table.subjects))]


def _affinity(connection: Connection, table: Captured, at: int) -> Affinity:
    name, column = bare(table.relation), table.subjects[at]
    declared = connection.scalar(
        text("SELECT upper(type) FROM pragma_table_xinfo(:name) WHERE name = :column"),
        {"name": name, "column": column},
    )
    kind = declared or "BLOB"
    if "INT" in kind:
        numeric, texts = True, False
    elif any(word in kind for word in ("CHAR", "CLOB", "TEXT")):
        numeric, texts = False, True
    else:
        numeric, texts = "BLOB" not in kind, False
    return Affinity(
        numeric=numeric, text=texts, collation=_collation(connection, name, (column, at), numeric)
    )


def _collation(connection: Connection, name: str, placed: tuple[str, int], numeric: bool) -> str | None:
    if numeric:
        return "BINARY"
    sql = (
        "SELECT x.coll FROM pragma_index_list(:name) l, pragma_index_xinfo(l.name) x"
        " WHERE x.seqno = :at AND x.name = :column AND NOT l.partial ORDER BY l.name"
    )
    found: str | None = connection.scalar(text(sql), {"name": name, "column": placed[0], "at": placed[1]})
    return found


def followers(connection: Connection, tables: Iterable[Captured]) -> Iterator[tuple[str, str, list[str]]]:
    """Tables whose rows follow a captured one's to another subject by a foreign key: child, parent, columns of the parent."""
    known = list(tables)
    parents = {bare(one.relation).lower(): one for one in known if not one.outbox}
    sql = (
        'SELECT id, "table" AS parent, "to" AS referred FROM pragma_foreign_key_list(:name)'
        " WHERE on_update = 'CASCADE' ORDER BY id, seq"
    )
    for child in known:
        found: dict[int, tuple[Captured, list[str]]] = {}
        for row in connection.execute(text(sql), {"name": bare(child.relation)}):
            parent = parents.get(str(row.parent).lower())
            if parent is not None and parent is not child:
                referred = [row.referred] if row.referred else parent.shape.key
                found.setdefault(row.id, (parent, []))[1].extend(referred)
        for parent, columns in found.values():
            subjects = {name.upper() for name in parent.subjects}
            if moving := [name for name in columns if name.upper() in subjects]:
                yield child.table, parent.table, moving


def has_rowid(connection: Connection, name: str) -> bool:
    """Is the table an ordinary one, whose rows have a rowid?"""
    sql = "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = :name"
    return "WITHOUT ROWID" not in str(connection.scalar(text(sql), {"name": name})).upper()


def quoted(name: str) -> str:
    """A name as SQL spells it."""
    return '"' + name.replace('"', '""') + '"'


def bare(name: str) -> str:
    """The name behind its quotes."""
    return name[1:-1].replace('""', '"')


def literal(value: str) -> str:
    """A text as SQL spells it."""
    return "'" + value.replace("'", "''") + "'"
