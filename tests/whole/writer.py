"""A random but legal writer: it tries anything, and keeps what the database takes. What it refuses goes back to a savepoint."""

from __future__ import annotations

import datetime as dt
import random
import threading
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Self

from sqlalchemy import Column, Connection, Engine, Table, delete, insert, select, types, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError

Row = dict[str, Any]


class Writer:
    """Threads of the application; each has a seed. `done` counts what was committed, by kind."""

    def __init__(self, engine: Engine, tables: Sequence[Table], *, threads: int, seed: int) -> None:
        self._engine, self._tables, self._seed = engine, list(tables), seed
        self._stop = threading.Event()
        self.done: Counter[str] = Counter()
        self.errors: list[Exception] = []
        self._threads = [
            threading.Thread(target=self._work, args=(seed * 100 + at,)) for at in range(threads)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        assert self.errors == []

    def write(self, transactions: int) -> None:
        """So many transactions in the caller's own thread."""
        random_ = random.Random(self._seed)
        for _ in range(transactions):
            self._transaction(random_)

    def wrote(self, least: int) -> bool:
        """Has every kind of statement been committed so often (or has a thread failed)?"""
        return bool(self.errors) or all(self.done[kind] >= least for kind in _STATEMENTS)

    def _work(self, seed: int) -> None:
        random_ = random.Random(seed)
        try:
            while not self._stop.is_set():
                try:
                    self._transaction(random_)
                except DBAPIError as error:
                    if not _of_concurrency(error):
                        raise
                    self.done["lost to another"] += 1
                self._stop.wait(0.001)
        except Exception as error:  # noqa: BLE001 - shown by the test that started the thread
            self.errors.append(error)

    def _transaction(self, random_: random.Random) -> None:
        kinds: Counter[str] = Counter()
        with self._engine.connect() as connection:
            for _ in range(random_.choice((1, 1, 1, 2, 5, 12))):
                table = random_.choice(self._tables)
                kind = random_.choice(("insert", "update", "update", "key", "delete", "delete"))
                undone = random_.random() < 0.1
                if _tried(connection, table, kind, random_, undone):
                    kinds["undone" if undone else kind] += 1
            if random_.random() < 0.1:
                connection.rollback()
                kinds = Counter({"rolled back": 1})
            else:
                connection.commit()
        self.done.update(kinds)


def _tried(connection: Connection, table: Table, kind: str, random_: random.Random, undone: bool) -> bool:
    """Within a savepoint, which is given up when the database refuses, and now and then although it does not."""
    savepoint = connection.begin_nested()
    try:
        done = _STATEMENTS[kind](connection, table, random_)
    except DBAPIError as error:
        if _of_concurrency(error):
            raise
        savepoint.rollback()
        return False
    savepoint.rollback() if undone else savepoint.commit()
    return done


def _of_concurrency(error: DBAPIError) -> bool:
    """A deadlock, a lock's wait, a busy file: the whole transaction is lost, and tried no more."""
    told = str(error.orig)
    return any(one in told for one in ("deadlock", "Deadlock", "locked", "lock timeout", "Lock wait"))


def _insert(connection: Connection, table: Table, random_: random.Random) -> bool:
    row = _some_row(connection, table, random_)
    if row is None:
        return False
    for column in table.columns:
        references = list(column.foreign_keys)
        if references:
            other = _some_row(connection, references[0].column.table, random_)
            if other is not None and random_.random() < 0.7:
                row[column.name] = other[references[0].column.name]
        elif column.primary_key or random_.random() < 0.5:
            row[column.name] = _value(column, random_, row[column.name])
    connection.execute(insert(table).values(row).inline())
    return True


def _update(connection: Connection, table: Table, random_: random.Random) -> bool:
    plain = [column for column in table.columns if not column.primary_key]
    return _change(connection, table, random_.sample(plain, min(len(plain), random_.randint(1, 3))), random_)


def _key(connection: Connection, table: Table, random_: random.Random) -> bool:
    return _change(connection, table, [random_.choice(list(table.primary_key))], random_)


def _change(
    connection: Connection, table: Table, columns: Sequence[Column[Any]], random_: random.Random
) -> bool:
    row = _some_row(connection, table, random_)
    if row is None or not columns:
        return False
    new = {}
    for column in columns:
        references = list(column.foreign_keys)
        if references:
            other = _some_row(connection, references[0].column.table, random_)
            new[column.name] = row[column.name] if other is None else other[references[0].column.name]
        else:
            new[column.name] = _value(column, random_, row[column.name])
    return connection.execute(update(table).where(*_at(table, row)).values(new)).rowcount == 1


def _delete(connection: Connection, table: Table, random_: random.Random) -> bool:
    row = _some_row(connection, table, random_)
    return row is not None and connection.execute(delete(table).where(*_at(table, row))).rowcount == 1


_STATEMENTS = {"insert": _insert, "update": _update, "key": _key, "delete": _delete}


def _at(table: Table, row: Row) -> list[Any]:
    return [column == row[column.name] for column in table.primary_key]


def _some_row(connection: Connection, table: Table, random_: random.Random) -> Row | None:
    """A row near a key drawn at random from those that were there; an index finds it, however large the table is."""
    first = next(iter(table.primary_key))
    found = None
    if isinstance(first.type, types.Integer):
        from_ = random_.randint(1, 700)
        found = (
            connection.execute(select(table).where(first >= from_).order_by(first).limit(1))
            .mappings()
            .first()
        )
    if found is None:
        some = connection.execute(select(table).limit(50)).mappings().all()
        found = random_.choice(some) if some else None
    return None if found is None else dict(found)


def _value(column: Column[Any], random_: random.Random, before: Any) -> Any:
    """Another value of the column's type; what is computed by the database stays."""
    if column.nullable and random_.random() < 0.1:
        return None
    kind = column.type.data_type if isinstance(column.type, postgresql.DOMAIN) else column.type
    for type_, make in _VALUES:
        if isinstance(kind, type_):
            return make(kind, random_, before)
    return before


_WORDS = [
    "",
    "a",
    "Ünïcode ☃",
    "  padded  ",
    "quote ' \" \\ back",
    "line\nbreak",
    "tab\t",
    "x" * 13,
    "NULL",
    "{}",
]


def _text(kind: Any, random_: random.Random, _before: Any) -> str:
    word = f"{random_.choice(_WORDS)}{random_.randint(0, 99)}"
    return word[: kind.length] if kind.length else word


def _number(kind: Any, random_: random.Random, _before: Any) -> Decimal:
    scale = kind.scale or 0
    digits = min((kind.precision or 9) - scale, 9)
    return Decimal(random_.randint(-(10 ** (digits + scale)) + 1, 10 ** (digits + scale) - 1)).scaleb(-scale)


def _day(_kind: Any, random_: random.Random, _before: Any) -> dt.date:
    return dt.date(1960, 1, 1) + dt.timedelta(days=random_.randint(0, 30_000))


def _instant(kind: Any, random_: random.Random, _before: Any) -> dt.datetime:
    zone = dt.UTC if kind.timezone else None
    return dt.datetime(2022, 1, 1, tzinfo=zone) + dt.timedelta(
        microseconds=random_.randint(0, 200 * 86400 * 10**6)
    )


_VALUES: list[tuple[Any, Any]] = [
    (types.Enum, lambda kind, random_, _: random_.choice(kind.enums)),
    (types.Boolean, lambda _kind, random_, _before: random_.random() < 0.5),
    (types.SmallInteger, lambda _kind, random_, _before: random_.randint(0, 30_000)),
    (types.Integer, lambda _kind, random_, _before: random_.randint(1, 3000)),
    (types.Float, lambda _kind, random_, _before: random_.choice((0.1, -1e300, 1 / 3, 5e-324, 1e15))),
    (types.Numeric, _number),
    (types.DateTime, _instant),
    (types.Date, _day),
    (types.Time, lambda _kind, random_, _before: dt.time(1, 2, 3, random_.randint(0, 999_999))),
    (types.LargeBinary, lambda _kind, random_, _before: random_.randbytes(random_.randint(0, 9))),
    (types.ARRAY, lambda _kind, random_, _before: random_.choices(_WORDS, k=random_.randint(0, 3))),
    (postgresql.BIT, lambda kind, random_, _before: "".join(random_.choices("01", k=kind.length))),
    (types.JSON, lambda _kind, random_, _before: {"a": [1, None, random_.choice(_WORDS)], "b": {"": 1.5}}),
    (types.String, _text),
]
