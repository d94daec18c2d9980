"""The fold of the published events, and the tables themselves: they must be the same, column by column."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from sqlalchemy import Connection, Engine, MetaData, Table, select, text

from tests.support.folds import whole_history
from tests.whole.project import SOURCE, Aggregates
from tests.whole.values import Read, as_kept, reader, stored, told
from toolkit.app import App
from toolkit.core.records import Record

Rows = dict[tuple[object, ...], dict[str, object]]
"""Key to row."""
Readers = dict[str, dict[str, Read]]


class _Told(msgspec.Struct):
    number: str
    table: str
    row: str


def reflect(engine: Engine, aggregates: Aggregates) -> list[Table]:
    """The tables as the database itself describes them."""
    wanted = {table for some in aggregates.values() for table in some}
    metadata = MetaData()
    metadata.reflect(engine, only=lambda name, _: name in wanted)
    return [metadata.tables[name] for some in aggregates.values() for name in some]


def readers_of(engine: Engine, tables: Iterable[Table]) -> Readers:
    """How each column of each table is read; SQLite keeps what it was given, whatever the column was declared as."""
    plain = engine.dialect.name == "sqlite"
    return {
        table.name.upper(): {
            column.name.upper(): as_kept if plain else reader(column.type) for column in table.columns
        }
        for table in tables
    }


def folded(app: App, tables: Iterable[Table], readers: Readers, subjects: dict[str, str]) -> dict[str, Rows]:
    """What the events say; an event that cannot be true after the ones before it is an error."""
    by_name = {table.name.upper(): table for table in tables}
    known: dict[tuple[str, str, tuple[object, ...]], dict[str, object]] = {}
    for record in whole_history(app, app.project.topic(SOURCE)):
        name, number, row = _event(record, readers)
        named = tuple(row[column.name.upper()] for column in by_name[name].primary_key)
        key = (name, number, named)
        subject = str(row[subjects[name].upper()]).rstrip(" ")
        assert subject == number, f"{name} {row} is told of {number!r}"
        if record.envelope.type == "FactWithdrawn":
            assert key in known, f"{key} is said to be gone, and was never there"
            del known[key]
        else:
            known[key] = row
    found: dict[str, Rows] = {name: {} for name in by_name}
    for (name, number, named), row in known.items():
        assert named not in found[name], f"{name} {named} belongs to {number} and to another subject"
        found[name][named] = row
    return found


def _event(record: Record, readers: Readers) -> tuple[str, str, dict[str, object]]:
    one = msgspec.json.decode(record.data, type=_Told)
    return one.table, one.number, told(one.row, readers[one.table])


def tables_of(connection: Connection, tables: Iterable[Table]) -> dict[str, Rows]:
    """What the tables say."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET timezone = 'UTC'"))
    found: dict[str, Rows] = {}
    for table in tables:
        rows: Rows = {}
        plain = connection.dialect.name == "sqlite"
        found_rows = connection.execute(text(f"SELECT * FROM {table.name}") if plain else select(table))
        for one in found_rows.mappings():
            row = {name.upper(): stored(value) for name, value in one.items()}
            rows[tuple(row[column.name.upper()] for column in table.primary_key)] = row
        found[table.name.upper()] = rows
    return found


def differences(told_: dict[str, Rows], stored_: dict[str, Rows]) -> list[tuple[object, ...]]:
    """Table, key, column, what the events say, what the table says."""
    found: list[tuple[object, ...]] = []
    for name, rows in stored_.items():
        for key in told_[name].keys() | rows.keys():
            left, right = told_[name].get(key), rows.get(key)
            if left is None or right is None:
                found.append((name, key, "the row", left is not None, right is not None))
                continue
            found += [
                (name, key, column, left[column], right[column])
                for column in right
                if left[column] != right[column] or type(left[column]) is not type(right[column])
            ]
    return found
