"""One version's table as SQL: names, statements, and how values go in and come out on an engine."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Protocol

from toolkit.core.columns import Column, ColumnType
from toolkit.core.projections import Definition

Codec = Mapping[ColumnType, Callable[[object], object]]
"""How a column type's values are turned into the driver's, or back; a type that is not there goes as it is."""


def quoted(name: str) -> str:
    """An identifier, whatever characters it has."""
    return '"' + name.replace('"', '""') + '"'


def key_first(definition: Definition) -> list[Column]:
    """The columns, those of the key before the others: rows as tuples, or as text, sort by it then."""
    others = [column for column in definition.columns if column.name not in definition.key]
    return [*definition.key_columns, *others]


def values_of(columns: Sequence[Column]) -> Callable[[Mapping[str, object]], tuple[object, ...]]:
    """What takes a row's values, in the order of these columns."""
    names = [column.name for column in columns]
    if len(names) == 1:
        return lambda row: (row[names[0]],)
    return itemgetter(*names)


LONGEST_INDEX_NAME = 60
"""Characters; PostgreSQL would cut a longer one off at 63 and not say so."""


def _index_name(table: str, columns: Sequence[str]) -> str:
    name = f"ix_{table}_{'_'.join(columns)}"
    if len(name) <= LONGEST_INDEX_NAME:
        return name
    return f"{name[: LONGEST_INDEX_NAME - 9]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _on_conflict(key: str, others: Sequence[str], _first: str) -> str:
    act = "UPDATE SET " + ", ".join(f"{name} = excluded.{name}" for name in others)
    return f"ON CONFLICT ({key}) DO {act if others else 'NOTHING'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """What a layout needs to know of an engine."""

    types: Mapping[ColumnType, str]
    key_text: Callable[[int], str]
    """The type of a text in a key of so many columns."""
    placeholder: str
    keys: Callable[[Sequence[tuple[str, str]]], str]
    """The condition that a row's key is one of those given; the key's columns come quoted, with their types."""
    listed_keys: Callable[[Sequence[tuple[object, ...]]], tuple[object, ...]]
    """These keys as the parameters of that condition."""
    encoders: Codec
    decoders: Codec
    collated: str = ""
    """How the texts of a key are compared, where the table does not say so."""
    table_options: str = ""
    index_lengths: Mapping[ColumnType, int] = field(default_factory=dict)
    """How many characters of a column an index takes, where it does not take all."""
    after: Callable[[Sequence[str]], str] | None = None
    """The condition that a row comes after a key, where it is not a comparison of rows."""
    after_values: Callable[[Sequence[object]], tuple[object, ...]] = tuple
    in_place: Callable[[str, Sequence[str], str], str] = _on_conflict
    """The end of an INSERT that replaces what is there: from the key's columns, the others, and one of the key's."""


class Named(Protocol):
    """How rows are found by what is given of their keys."""

    @property
    def load(self) -> str: ...

    def keys(self, keys: Sequence[object]) -> tuple[object, ...]: ...


class Layout:
    """The statements of one version's table, written once."""

    def __init__(self, definition: Definition, dialect: Dialect) -> None:
        self.definition = definition
        self.table = definition.table
        self.names = tuple(column.name for column in definition.columns)
        self.key = definition.key
        self._dialect = dialect
        self.columns = tuple((column.name, self._type(column)) for column in definition.columns)
        self._key_columns = tuple(
            (quoted(column.name), self._type(column)) for column in definition.key_columns
        )
        self._key_encoders = tuple(dialect.encoders.get(column.type) for column in definition.key_columns)
        self._values: Callable[[Mapping[str, object]], tuple[object, ...]] | None = (
            itemgetter(*self.names) if len(self.names) > 1 else None
        )
        self._encoders = [
            (at, encode)
            for at, encode in enumerate(dialect.encoders.get(column.type) for column in definition.columns)
            if encode is not None
        ]
        self._decoders = [
            (at, decode)
            for at, decode in enumerate(dialect.decoders.get(column.type) for column in definition.columns)
            if decode is not None
        ]

    @property
    def listed(self) -> str:
        """The column names, quoted, for any statement."""
        return ", ".join(map(quoted, self.names))

    @property
    def create(self) -> str:
        """CREATE TABLE. The contract is kept by the projection itself, so only the key is constrained."""
        columns = ", ".join(f"{quoted(name)} {self._declared(name, type_)}" for name, type_ in self.columns)
        options = self._dialect.table_options
        return f"CREATE TABLE {quoted(self.table)} ({columns}, PRIMARY KEY ({self._key})) {options}"

    def _type(self, column: Column) -> str:
        if column.name in self.key and column.type is ColumnType.TEXT:
            return self._dialect.key_text(len(self.key))
        return self._dialect.types[column.type]

    @property
    def indexes(self) -> dict[str, str]:
        """By name, the CREATE INDEX of each declared index."""
        made = {}
        for columns in self.definition.indexes:
            name = _index_name(self.table, columns)
            listed = ", ".join(map(self._indexed, columns))
            made[name] = f"CREATE INDEX IF NOT EXISTS {quoted(name)} ON {quoted(self.table)} ({listed})"
        return made

    def _indexed(self, name: str) -> str:
        column = next(one for one in self.definition.columns if one.name == name)
        length = None if name in self.key else self._dialect.index_lengths.get(column.type)
        return quoted(name) if length is None else f"{quoted(name)}({length})"

    def _declared(self, name: str, type_: str) -> str:
        if name not in self.key:
            return type_
        text = type_ == self._dialect.key_text(len(self.key))
        return f"{type_} {self._dialect.collated if text else ''} NOT NULL"

    @property
    def _key(self) -> str:
        return ", ".join(name for name, _ in self._key_columns)

    @property
    def _where(self) -> str:
        return self._dialect.keys(self._key_columns)

    @property
    def load(self) -> str:
        """SELECT the rows whose keys are given."""
        return f"SELECT {self.listed} FROM {quoted(self.table)} WHERE {self._where}"

    @property
    def delete(self) -> str:
        """DELETE the rows whose keys are given."""
        return f"DELETE FROM {quoted(self.table)} WHERE {self._where}"

    def keys(self, keys: Sequence[object]) -> tuple[object, ...]:
        """These keys as the parameters of `load` and `delete`."""
        return self._dialect.listed_keys([self.encode_key(key) for key in keys])

    def load_under(self, most: int | None) -> str:
        """SELECT the rows of the parents that are given: the key's index finds them by its first columns."""
        of_parent = self._key_columns[: len(self.definition.parent)]
        found = f"FROM {quoted(self.table)} WHERE {self._dialect.keys(of_parent)}"
        if most is None:
            return f"SELECT {self.listed} {found}"
        parent = ", ".join(name for name, _ in of_parent)
        place = f"ROW_NUMBER() OVER (PARTITION BY {parent} ORDER BY {self._key})"
        numbered = f"SELECT {self.listed}, {place} AS strangler_place {found}"
        return f"SELECT {self.listed} FROM ({numbered}) AS numbered WHERE strangler_place <= {most:d}"

    @property
    def upsert(self) -> str:
        """INSERT one row, or put it in the place of the one with its key."""
        marks = ", ".join([self._dialect.placeholder] * len(self.names))
        return f"INSERT INTO {quoted(self.table)} ({self.listed}) VALUES ({marks}) {self.in_place}"

    @property
    def in_place(self) -> str:
        """The end of an INSERT that replaces what is there."""
        others = [quoted(name) for name in self.names if name not in self.key]
        return self._dialect.in_place(self._key, others, self._key_columns[0][0])

    def page(self, *, first: bool) -> str:
        """SELECT a page of rows in key order, after a key unless it is the first."""
        mark = self._dialect.placeholder
        after = "" if first else f"WHERE {self._after(mark)} "
        return f"SELECT {self.listed} FROM {quoted(self.table)} {after}ORDER BY {self._key} LIMIT {mark}"

    def _after(self, mark: str) -> str:
        if self._dialect.after is not None:
            return self._dialect.after([name for name, _ in self._key_columns])
        return f"({self._key}) > ({', '.join([mark] * len(self.key))})"

    def after(self, key: object) -> tuple[object, ...]:
        """A key as the parameters of `page`."""
        return self._dialect.after_values(self.encode_key(key))

    def encode(self, row: Mapping[str, object]) -> tuple[object, ...]:
        """A row's values for the driver, in the order of `names`."""
        if self._values is None:
            values = [row[self.names[0]]]
        elif not self._encoders:
            return self._values(row)
        else:
            values = list(self._values(row))
        for at, encode in self._encoders:
            if values[at] is not None:
                values[at] = encode(values[at])
        return tuple(values)

    def encode_key(self, key: object) -> tuple[object, ...]:
        """A key's values for the driver."""
        values = key if isinstance(key, tuple) else (key,)
        return tuple(
            value if encode is None else encode(value)
            for encode, value in zip(self._key_encoders[: len(values)], values, strict=True)
        )

    def decode(self, values: Sequence[object]) -> dict[str, object]:
        """A row in the normal form of its columns."""
        row = list(values)
        for at, decoder in self._decoders:
            if row[at] is not None:
                row[at] = decoder(row[at])
        return dict(zip(self.names, row, strict=True))


class Under:
    """Finds rows by their parents."""

    def __init__(self, layout: Layout, most: int | None) -> None:
        self.load = layout.load_under(most)
        self.keys = layout.keys
