"""One version's table as SQL: names, statements, and how values go in and come out on an engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter

from toolkit.core.projections import ColumnType, Definition

Codec = Mapping[ColumnType, Callable[[object], object]]
"""How a column type's values are turned into the driver's, or back; a type that is not there goes as it is."""


def quoted(name: str) -> str:
    """An identifier, whatever characters it has."""
    return '"' + name.replace('"', '""') + '"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """What a layout needs to know of an engine."""

    types: Mapping[ColumnType, str]
    text_key: str
    placeholder: str
    keys: str
    """The condition that a key is in the list given as the only parameter, `{key}` standing for the column."""
    encoders: Codec
    decoders: Codec


class Layout:
    """The statements of one version's table, written once."""

    def __init__(self, definition: Definition, dialect: Dialect) -> None:
        self.definition = definition
        self.table = definition.table
        self.names = tuple(column.name for column in definition.columns)
        self.key = definition.key
        self.columns = tuple((column.name, dialect.types[column.type]) for column in definition.columns)
        self._key_type = definition.key_column.type
        self._dialect = dialect
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
        return f"CREATE TABLE {quoted(self.table)} ({columns})"

    def _declared(self, name: str, type_: str) -> str:
        if name != self.key:
            return type_
        collation = self._dialect.text_key if self._key_type is ColumnType.TEXT else ""
        return f"{type_} {collation} PRIMARY KEY NOT NULL"

    @property
    def load(self) -> str:
        """SELECT the rows whose keys are in the list given."""
        condition = self._dialect.keys.format(key=quoted(self.key))
        return f"SELECT {self.listed} FROM {quoted(self.table)} WHERE {condition}"

    @property
    def delete(self) -> str:
        """DELETE the rows whose keys are in the list given."""
        return f"DELETE FROM {quoted(self.table)} WHERE {self._dialect.keys.format(key=quoted(self.key))}"

    @property
    def upsert(self) -> str:
        """INSERT one row, or put it in the place of the one with its key."""
        marks = ", ".join([self._dialect.placeholder] * len(self.names))
        return f"INSERT INTO {quoted(self.table)} ({self.listed}) VALUES ({marks}) {self.in_place}"

    @property
    def in_place(self) -> str:
        """The end of an INSERT that replaces what is there."""
        others = [quoted(name) for name in self.names if name != self.key]
        act = "UPDATE SET " + ", ".join(f"{name} = excluded.{name}" for name in others)
        return f"ON CONFLICT ({quoted(self.key)}) DO {act if others else 'NOTHING'}"

    def page(self, *, first: bool) -> str:
        """SELECT a page of rows in key order, after a key unless it is the first."""
        mark, key = self._dialect.placeholder, quoted(self.key)
        after = "" if first else f"WHERE {key} > {mark} "
        return f"SELECT {self.listed} FROM {quoted(self.table)} {after}ORDER BY {key} LIMIT {mark}"

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

    def encode_key(self, key: object) -> object:
        """A key for the driver."""
        encoder = self._dialect.encoders.get(self._key_type)
        return key if encoder is None else encoder(key)

    def decode(self, values: Sequence[object]) -> dict[str, object]:
        """A row in the normal form of its columns."""
        row = list(values)
        for at, decoder in self._decoders:
            if row[at] is not None:
                row[at] = decoder(row[at])
        return dict(zip(self.names, row, strict=True))
