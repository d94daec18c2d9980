"""The server's side of reading the log: the slot as it is, what it holds, how far it may forget."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from adapters.engines import reading
from adapters.legacy.guard import CAPTURE_TIMEOUT, judged
from adapters.legacy.postgresql.capture import SAME_TEXT, cancelled
from adapters.legacy.postgresql.tables import literal, quoted
from adapters.legacy.wal.values import CONVERTERS, Convert, array_of
from adapters.statements import Statements
from toolkit.core.errors import Infrastructure, StranglerError

_SQL = Statements(__file__)
statement, query = _SQL.statement, _SQL.query
_IN_USE = "55006"
_DECODING_MINUTES = 30
"""A huge transaction is decoded before its first row comes; what the server does then locks nothing."""


class SlotBusy(Infrastructure):
    """Another session has the slot: one that looks how much waits, or the leader that reads it."""


class State(msgspec.Struct, frozen=True, kw_only=True):
    """The slot, the publication and the server as they are now; places in the log as bytes."""

    there: bool
    active: bool
    plugin: str | None
    database: str | None
    here: str
    wal_status: str | None
    confirmed: int | None
    retained: int | None
    inserted: int
    flushed: int
    timeline: str
    system: str
    xmax: int
    published: bool
    outbox_published: bool
    registry: str | None


class Stream:
    """What the slot held when this was opened, read in parts. The server keeps what was not read yet, not we."""

    def __init__(self, connection: Connection, parameters: Mapping[str, object], limit: int) -> None:
        self._connection, self._limit, self._given = connection, limit, 0
        driver: Any = connection.connection.driver_connection
        self._cursor = driver.cursor("strangler_wal", binary=True)
        self._cursor.execute(statement("peek"), {**parameters, "limit": limit})

    def read(self, size: int) -> list[bytes]:
        """The next messages; none at the end."""
        rows = self._cursor.fetchmany(size)
        self._given += len(rows)
        return [row[0] for row in rows]

    @property
    def exhausted(self) -> bool:
        """Was there no more than this? (The server ends a part at the end of a transaction, beyond the limit.)"""
        return self._given < self._limit

    def close(self) -> None:
        """End the transaction that kept the rows."""
        try:
            self._cursor.close()
        finally:
            self._connection.close()


class Slot:
    """One replication slot, with the publications that it is read through."""

    def __init__(self, source: str, engine: Engine, slot: str, publication: str) -> None:
        self._source, self._engine = source, engine
        self.name, self.publication, self.outbox = slot, publication, f"{publication}_outbox"
        self._names = f"{quoted(self.publication)},{quoted(self.outbox)}"
        self._converters: dict[int, Convert | None] = {}

    @contextmanager
    def asked_for(self) -> Iterator[None]:
        """Around what takes the slot for itself. Raises SlotBusy while another session has it."""
        try:
            with self.judged():
                yield
        except StranglerError as error:
            cause: BaseException | None = error
            while cause is not None:
                if getattr(cause, "sqlstate", None) == _IN_USE:
                    raise SlotBusy(str(cause).strip()) from error
                cause = cause.__cause__
            raise

    @contextmanager
    def judged(self) -> Iterator[None]:
        """Around everything that speaks to the server: a driver's errors become ours."""
        dialect = self._engine.dialect
        driver: Any = dialect.dbapi
        with judged(self._source, CAPTURE_TIMEOUT, cancelled):
            try:
                yield
            except driver.Error as error:  # of a cursor that SQLAlchemy knows nothing of
                raise DBAPIError.instance(None, None, error, driver.Error, dialect=dialect) from error

    def state(self) -> State:
        """Look at the slot, its publication and its server."""
        with self.judged(), reading(self._engine) as connection:
            return self.state_in(connection)

    def state_in(self, connection: Connection) -> State:
        """The same, in a transaction that has begun."""
        asked = {"slot": self.name, "publication": self.publication, "outbox": self.outbox}
        return State(**connection.execute(query("slot"), asked).mappings().one())

    def peek(self, limit: int) -> Stream:
        """Begin to read from where the slot stands; whole transactions, at least `limit` messages if there are."""
        with self.asked_for():
            connection = self._engine.connect()
            try:
                connection.execute(text(SAME_TEXT))
                connection.execute(text(f"SET LOCAL statement_timeout = '{_DECODING_MINUTES}min'"))
                return Stream(connection, {"slot": self.name, "names": self._names}, limit)
            except BaseException:
                connection.close()
                raise

    def unfetched(self, after: int, place: int, limit: int) -> int:
        """How many row messages wait after one place and up to another, counted to a limit. Moves nothing."""
        asked = {"slot": self.name, "after": after, "place": place, "limit": limit, "names": self._names}
        with self.asked_for(), reading(self._engine) as connection:
            return int(connection.scalar(query("unfetched"), asked) or 0)

    def advance(self, lsn: int) -> None:
        """Let the server forget what ends at or before this place. Never moves backwards."""
        with self.asked_for(), self._engine.connect() as connection:
            connection.execute(query("advance"), {"slot": self.name, "lsn": lsn})
            connection.commit()

    def flush(self) -> None:
        """Have the server write its log out: what it has not written it does not decode. Costs it one commit."""
        with self.judged(), self._engine.connect() as connection:
            connection.execute(text("SET LOCAL synchronous_commit = local"))
            connection.execute(text("SELECT pg_logical_emit_message(true, 'strangler', '')"))
            connection.commit()

    def visible(self, connection: Connection, snapshot: str, transactions: Iterable[str]) -> set[str]:
        """Which of the transactions does the snapshot see?"""
        asked = {"xids": list(transactions), "snapshot": snapshot}
        return set(connection.scalars(query("visible"), asked))

    # --- types

    def types(self, oids: Iterable[int]) -> dict[int, Convert | None]:
        """How values of these types become JSON; None: their text is what they are."""
        unknown = [oid for oid in oids if oid not in self._converters]
        if unknown:
            with self.judged(), reading(self._engine) as connection:
                self._learn(connection, unknown)
        return self._converters

    def _learn(self, connection: Connection, oids: list[int]) -> None:
        rows = connection.execute(query("types"), {"oids": oids}).all()
        elements = [row.element for row in rows if row.element and row.element not in self._converters]
        if elements:
            self._learn(connection, elements)
        for row in rows:
            self._converters[row.oid] = self._converter(row)
        for oid in oids:  # a type that is gone by now
            self._converters.setdefault(oid, None)

    def _converter(self, row: Any) -> Convert | None:
        if row.by_server:
            return _Asked(self, row.spelled)
        if not row.element:
            return CONVERTERS.get(row.name)
        element = self._converters[row.element]
        if isinstance(element, _Asked):
            return _Asked(self, row.spelled)
        return array_of(element or str, row.delimiter)

    def ask(self, type_: str, value: str) -> object:
        """What the server makes of a value of a type that only it can read."""
        sql = text(f"SELECT CAST(to_json(CAST(:value AS {type_})) AS text)")
        with self.judged(), reading(self._engine) as connection:
            connection.execute(text(SAME_TEXT))
            return CONVERTERS["jsonb"](str(connection.scalar(sql, {"value": value})))


class _Asked:
    """Converts by asking the server: slow, and right for composite types and for those with a cast of their own."""

    def __init__(self, slot: Slot, type_: str) -> None:
        self._slot, self._type = slot, type_

    def __call__(self, value: str) -> object:
        return self._slot.ask(self._type, value)


def create_slot(name: str) -> str:
    """The statement that makes the slot. It stands alone: no transaction that wrote can make one."""
    return f"SELECT pg_create_logical_replication_slot({literal(name)}, 'pgoutput')"


def drop_slot(name: str) -> str:
    """The statement that takes the slot of this database away, if there is one."""
    return (
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
        f" WHERE slot_name = {literal(name)} AND database = current_database()"
    )


def alone(statements: Iterable[str]) -> Iterator[str]:
    """Those that concern the slot: each is executed by itself."""
    return (
        one
        for one in statements
        if one.startswith(("SELECT pg_create_logical", "SELECT pg_drop_replication"))
    )
