"""What any engine tells of its tables: names as they are spelt, columns, keys, and which columns an index finds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Connection, Inspector, MetaData, Table, inspect, types

from toolkit.core.errors import UsageError
from toolkit.core.subjects import Columns, columns_of, simplest
from toolkit.ports import CapturedTable


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A table that is looked at, in the engine's own spelling. `indexes` are the columns of each index."""

    name: str
    relation: Table
    subject: Columns
    keys: tuple[str, ...]
    nullable_keys: tuple[str, ...]
    watermark: str
    columns: tuple[str, ...]
    nullable: frozenset[str]
    indexes: frozenset[tuple[str, ...]]

    @property
    def subjects(self) -> tuple[str, ...]:
        """The columns that hold the subject."""
        return columns_of(self.subject)

    @property
    def indexed(self) -> frozenset[str]:
        """The columns that an index begins with."""
        return frozenset(one[0] for one in self.indexes)

    @property
    def key_columns(self) -> tuple[str, ...]:
        """The columns that identify a row, as changes spell them."""
        return tuple(name.upper() for name in self.keys)

    @property
    def gathers(self) -> bool:
        """Are the rows of a subject found by an index?"""
        wanted = set(self.subjects)
        return any(set(one[: len(wanted)]) == wanted for one in self.indexes)


def find_table(connection: Connection, source: str, wanted: CapturedTable, watermark: str = "") -> Fetched:
    """The table as the engine spells it. Raises UsageError when it, its subject, its watermark or a key is missing."""
    where = f"legacy source {source}, table {wanted.table}"
    known = inspect(connection)
    schema, name = _name(known, where, wanted.table)
    columns: list[Any] = known.get_columns(name, schema=schema)
    spelt = {str(column["name"]).upper(): str(column["name"]) for column in columns}
    for column in filter(None, (*wanted.subjects, watermark)):
        if column.upper() not in spelt:
            raise UsageError(f"{where}: there is no column {column}; there are {', '.join(spelt.values())}")
    nullable = frozenset(str(column["name"]) for column in columns if column["nullable"])
    keys = _key(known, name, schema, nullable)
    if not keys:
        raise UsageError(
            f"{where}: no primary key and no unique index over columns that are NOT NULL, so that a row cannot be told "
            "from another when it is looked at again; give the table one, or leave it out"
        )
    relation = Table(name, MetaData(), *(Column(one["name"], one["type"]) for one in columns), schema=schema)
    for one in keys:
        if isinstance(relation.c[one].type, types.Float):
            raise UsageError(
                f"{where}: its key {one} is a binary fraction, which is not sure to find itself again; "
                "give the table a key of whole numbers, decimals, text or times, or leave it out"
            )
    return Fetched(
        name=wanted.table.upper(),
        relation=relation,
        subject=simplest([spelt[one.upper()] for one in wanted.subjects]),
        keys=keys,
        nullable_keys=tuple(one for one in keys if one in nullable),
        watermark=spelt[watermark.upper()] if watermark else "",
        columns=tuple(spelt.values()),
        nullable=nullable,
        indexes=frozenset({keys, *_indexes(known, name, schema)}),
    )


def _name(known: Inspector, where: str, wanted: str) -> tuple[str | None, str]:
    schema, _, bare = wanted.rpartition(".")
    schemas: Mapping[str, str] = {one.upper(): one for one in known.get_schema_names()} if schema else {}
    if schema and schema.upper() not in schemas:
        raise UsageError(f"{where}: there is no schema {schema}; there are {', '.join(schemas.values())}")
    place = schemas[schema.upper()] if schema else None
    names = known.get_table_names(schema=place)
    fitting = [one for one in names if one == bare] or [one for one in names if one.upper() == bare.upper()]
    if not fitting:
        raise UsageError(
            f"{where}: there is no such table (views cannot be captured); write schema.table if it is elsewhere"
        )
    if len(fitting) > 1:
        raise UsageError(f"{where}: the name fits {', '.join(fitting)}: rename one")
    return place, fitting[0]


def _key(known: Inspector, name: str, schema: str | None, nullable: frozenset[str]) -> tuple[str, ...]:
    primary = known.get_pk_constraint(name, schema=schema)["constrained_columns"]
    if primary:
        return tuple(primary)
    for columns in sorted(_unique(known, name, schema)):
        if columns and not nullable & set(columns):
            return columns
    return ()


def _unique(known: Inspector, name: str, schema: str | None) -> Iterable[tuple[str, ...]]:
    for index in known.get_indexes(name, schema=schema):
        columns = index["column_names"]
        partial = any(option.endswith("_where") for option in index.get("dialect_options", {}))
        if index["unique"] and not partial and all(columns):
            yield tuple(str(column) for column in columns)
    for constraint in known.get_unique_constraints(name, schema=schema):
        yield tuple(constraint["column_names"])


def _indexes(known: Inspector, name: str, schema: str | None) -> Iterable[tuple[str, ...]]:
    for index in known.get_indexes(name, schema=schema):
        partial = any(option.endswith("_where") for option in index.get("dialect_options", {}))
        if index["column_names"] and index["column_names"][0] and not partial:
            yield tuple(str(one) for one in index["column_names"])
    for constraint in known.get_unique_constraints(name, schema=schema):
        yield tuple(constraint["column_names"])
