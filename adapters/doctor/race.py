"""The race's table on each engine: a twin of the user's outbox, its writers, and the two ways to poll it.

Rows go to the twin alone: it has no trigger of capture, and is dropped at the end, so that nothing of it is ever relayed.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, bindparam, inspect, text
from sqlalchemy.exc import DBAPIError

from adapters.doctor.asking import sql_of
from toolkit.core.ailments import Figure
from toolkit.core.errors import Infrastructure, Refused, StranglerError, UsageError
from toolkit.diagnosis import AGGREGATE, TABLE, Mark

AT_ONCE = 1000
_WHOLE = frozenset({"int2", "int4", "int8", "smallint", "mediumint", "int", "bigint", "integer"})
_NUMBERS = _WHOLE | {"numeric", "decimal", "float", "double", "float4", "float8", "tinyint", "real"}
_INSTANTS = frozenset({"timestamp", "timestamptz", "datetime"})
_TYPES = ("aggregatetype", "aggregate_type")


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """A column of the user's outbox, as far as writing to its twin has to know it."""

    name: str
    kind: str
    required: bool
    identity: bool
    generated: bool
    filled: bool
    length: int | None = None
    enumerated: bool = False
    type: str = ""
    cache: int | None = None
    increment: int | None = None

    @property
    def numbers(self) -> bool:
        """Does the engine give it a number by itself?"""
        return self.kind in _WHOLE and (self.identity or self.cache is not None)


class SqlTrack(ABC):
    """Implements `toolkit.diagnosis.Track`. A subclass knows one engine."""

    name: str
    number: str = "strangler_number"
    """the column that our own way orders by"""

    def __init__(self, engine: Engine, outbox: str = "") -> None:
        self._engine, self._outbox = engine, outbox
        self._quote = engine.dialect.identifier_preparer.quote
        self._made = False
        self._tokens = itertools.count(1)
        try:
            with told(), engine.connect() as connection:
                self._rows = self._columns_of(connection) if outbox else []
                self.columns = [_column(row) for row in self._rows]
                self._last = self._remembered() if outbox else None
                self.settings = self._settings(connection)
        except BaseException:
            engine.dispose()
            raise

    # --- what an engine knows

    @property
    @abstractmethod
    def relation(self) -> str:
        """The twin, as SQL spells it."""

    @abstractmethod
    def statements(self) -> tuple[str, ...]:
        """What `open` executes."""

    @abstractmethod
    def value(self, column: Column) -> str:
        """An expression that fills a column, over `:token` (a text of its own) and `:count` (a number of its own)."""

    @abstractmethod
    def _settings(self, connection: Connection) -> dict[str, Figure]: ...

    # --- the table

    def _remembered(self) -> Column | None:
        """What a poller of this table would remember: the number that the engine gives, or else an instant.

        A table that has neither (its ids are random) is given a number, as it would need one for such a poller.
        """
        for fits in (lambda one: one.numbers, lambda one: one.kind in _INSTANTS):
            for one in self.columns:
                if fits(one):
                    return one
        return None

    def _columns_of(self, connection: Connection) -> Sequence[Any]:
        asked = text(sql_of("race", self.name))
        rows = connection.execute(asked, {"name": self._outbox}).mappings().all()
        if not rows:
            raise UsageError(f"there is no table {self._outbox} in this database")
        return rows

    @property
    def ordering(self) -> str:
        """The column that the naive poller remembers the last value of."""
        if self._last is not None:
            return self._last.name
        return self.number if self._outbox else "id"

    def open(self) -> None:
        """Make the table. Raises Refused when there is one already."""
        with told(), self._engine.connect() as connection:
            schema = self.relation.rpartition(".")[0].strip('"') or None
            if inspect(connection).has_table(TABLE, schema=schema):
                raise Refused(
                    f"there is a table {self.relation} already: another race runs, or one was killed",
                    [f"when none runs: DROP TABLE {self.relation}"],
                )
        self._made = True
        with told(), self._engine.begin() as connection:
            for statement in self.statements():
                connection.execution_options(no_parameters=True).exec_driver_sql(statement)

    def close(self) -> None:
        """Drop the table, if this race made it."""
        try:
            if self._made:
                with told(), self._engine.begin() as connection:
                    connection.exec_driver_sql(f"DROP TABLE IF EXISTS {self.relation}")
        finally:
            self._engine.dispose()

    # --- who runs

    def writer(self) -> SqlWriter:
        """One session of the application."""
        return SqlWriter(self._engine, self._insert(), self._tokens)

    def naive(self) -> NaivePoller:
        """`WHERE id > last ORDER BY id`."""
        return NaivePoller(self._engine, self.relation, self._quote(self.ordering))

    def ours(self) -> MarkingPoller:
        """All that is visible and not yet marked, then marked."""
        return MarkingPoller(self._engine, self.relation, self._quote(self.number))

    def _insert(self) -> str:
        values = {"strangler_subject": ":subject", "strangler_seq": ":seq"}
        for one in self.columns:
            if one.name.lower() in _TYPES:
                values[one.name] = f"'{AGGREGATE}'"
            elif (one.required and not (one.identity or one.generated or one.filled)) or (
                one is self._last and not one.numbers and not one.filled and not one.identity
            ):
                values[one.name] = self.value(one)
        if not self.columns:
            values["aggregatetype"] = f"'{AGGREGATE}'"
        names = ", ".join(map(self._quote, values))
        return f"INSERT INTO {self.relation} ({names}) VALUES ({', '.join(values.values())})"


class SqlWriter:
    """A session that inserts, and ends its transaction when it is told."""

    def __init__(self, engine: Engine, insert: str, tokens: Iterator[int]) -> None:
        self._connection = engine.connect()
        self._insert, self._tokens = text(insert), tokens

    def write(self, marks: Sequence[Mark]) -> None:
        """Insert rows in the open transaction."""
        names = set(self._insert.compile().params)
        with told():
            for subject, seq in marks:
                count = next(self._tokens)
                given = {"subject": subject, "seq": seq, "count": count, "token": f"{count:x}-strangler.race"}
                self._connection.execute(self._insert, {name: given[name] for name in names})

    def commit(self) -> None:
        """End it for good."""
        with told():
            self._connection.commit()

    def rollback(self) -> None:
        """End it as if it had never been."""
        with told():
            self._connection.rollback()

    def close(self) -> None:
        """End the session; what is open is rolled back."""
        self._connection.close()


class NaivePoller:
    """What many outbox relays do."""

    def __init__(self, engine: Engine, relation: str, column: str) -> None:
        self._connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        select = f"SELECT {column} AS last, strangler_subject AS s, strangler_seq AS n FROM {relation}"
        self._first = text(f"{select} ORDER BY {column} LIMIT {AT_ONCE}")
        self._next = text(f"{select} WHERE {column} > :last ORDER BY {column} LIMIT {AT_ONCE}")
        self._last: object = None

    def poll(self) -> list[Mark]:
        """What has a higher number than the last one seen."""
        asked = (self._first, {}) if self._last is None else (self._next, {"last": self._last})
        with told():
            rows = self._connection.execute(*asked).all()
            self._connection.rollback()
        if rows:
            self._last = rows[-1].last
        return [(row.s, row.n) for row in rows]

    def close(self) -> None:
        """End the session."""
        self._connection.close()


class MarkingPoller:
    """What the toolkit does: no number is remembered, so that a late one is not passed by."""

    def __init__(self, engine: Engine, relation: str, column: str) -> None:
        self._connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        self._select = text(
            f"SELECT {column} AS number, strangler_subject AS s, strangler_seq AS n FROM {relation}"
            f" WHERE strangler_marked IS NULL ORDER BY {column} LIMIT {AT_ONCE}"
        )
        mark = text(f"UPDATE {relation} SET strangler_marked = 1 WHERE {column} IN :numbers")
        self._mark = mark.bindparams(bindparam("numbers", expanding=True))

    def poll(self) -> list[Mark]:
        """What is visible and not marked; then it is."""
        with told():
            rows = self._connection.execute(self._select).all()
            if rows:
                self._connection.execute(self._mark, {"numbers": [row.number for row in rows]})
            self._connection.rollback()
        return [(row.s, row.n) for row in rows]

    def close(self) -> None:
        """End the session."""
        self._connection.close()


@contextmanager
def told() -> Iterator[None]:
    """A driver's errors as ours."""
    try:
        yield
    except DBAPIError as error:
        cause = str(error.orig).strip()
        kind: type[StranglerError] = Infrastructure if error.connection_invalidated else UsageError
        raise kind(
            f"the race cannot be run: {cause} (it needs to create and drop {TABLE}; without --outbox it makes a table of "
            "its own kind)"
        ) from error


def _column(row: Any) -> Column:
    return Column(
        name=str(row["name"]),
        kind=str(row["kind"]).partition("(")[0].strip(),
        required=bool(row["required"]),
        identity=bool(row["identity"]),
        generated=bool(row["generated"]),
        filled=bool(row["filled"]),
        length=row["length"],
        enumerated=bool(row["enumerated"]),
        type=str(row.get("type") or ""),
        cache=row.get("cache"),
        increment=row.get("increment"),
    )


def is_number(column: Column) -> bool:
    """Is it filled with a number?"""
    return column.kind in _NUMBERS


def is_instant(column: Column) -> bool:
    """Is it filled with the clock?"""
    return column.kind in _INSTANTS or column.kind in ("date", "time", "timetz")
