"""Create the estate and fill it with history: the same rows for the same seed, size and business date, on either engine.

    python -m examples.insurer.estate.generate sqlite:///insurer.db --size 2000 --seed 7

A million policies take about a minute on PostgreSQL, in bounded memory.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date
from itertools import chain

from sqlalchemy import Connection, Engine

from examples.insurer.estate import codes, history, store
from examples.insurer.estate.history import Row, Rows, World

BATCH_BLOCKS = 20
"""Blocks a transaction: 20,000 policies with their rows are in memory at any time, however large the estate."""

Progress = Callable[[int, int], None]


def generate(
    url: str,
    *,
    size: int = 2000,
    seed: int = 7,
    today: date = codes.BUSINESS_DATE,
    replace: bool = False,
    progress: Progress | None = None,
) -> dict[str, int]:
    """Create the schema and fill it; returns the number of rows of each table.

    An estate that is already there is left alone unless `replace` says otherwise.
    """
    world = World(seed, size, today)
    engine = store.open_engine(url, writes=True)
    try:
        _prepare(engine, replace)
        counts = _load(engine, world, progress)
        with engine.begin() as connection:
            store.finish_tables(connection)
        _analyze(engine)
    finally:
        engine.dispose()
    return dict(counts)


def _prepare(engine: Engine, replace: bool) -> None:
    exists = store.is_created(engine)
    if exists and not replace:
        raise FileExistsError(f"there is an estate at {engine.url!r} already; replace it with --replace")
    with engine.begin() as connection:
        if exists:
            store.drop_tables(connection)
        store.create_tables(connection)


def _load(engine: Engine, world: World, progress: Progress | None) -> Counter[str]:
    counts: Counter[str] = Counter()
    for rows in _batched(chain(history.masters(world), history.policies(world))):
        with engine.begin() as connection:
            for table in store.TABLES:
                if rows.get(table):
                    _insert(connection, table, rows[table])
                    counts[table] += len(rows[table])
        if progress is not None:
            progress(counts["POLMAST"], world.size)
    return counts


def _batched(blocks: Iterator[Rows]) -> Iterator[Rows]:
    """Join blocks into batches worth a transaction."""
    batch: Rows = {}
    for n, block in enumerate(blocks, 1):
        for table, rows in block.items():
            batch.setdefault(table, []).extend(rows)
        if n % BATCH_BLOCKS == 0:
            yield batch
            batch = {}
    if batch:
        yield batch


def _insert(connection: Connection, table: str, rows: list[Row]) -> None:
    columns = store.TABLES[table]
    if store.is_postgres(connection):
        _copy(connection, f"COPY {table} ({', '.join(columns)}) FROM STDIN", rows)
        return
    marks = ", ".join("?" * len(columns))
    connection.exec_driver_sql(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", rows)


def _copy(connection: Connection, statement: str, rows: list[Row]) -> None:
    """COPY is five to ten times as fast as INSERT; SQLAlchemy has no word for it, so the driver is asked."""
    driver = connection.connection.driver_connection
    assert driver is not None
    with driver.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)


def _analyze(engine: Engine) -> None:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE")


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="generate", description="Create the insurer's legacy database.")
    parser.add_argument("url", help="SQLAlchemy URL, such as sqlite:///insurer.db")
    parser.add_argument("--size", type=int, default=2000, help="number of policies (default 2000)")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--today", type=date.fromisoformat, default=codes.BUSINESS_DATE, help="business date")
    parser.add_argument("--replace", action="store_true", help="drop an estate that is already there")
    options = parser.parse_args(arguments)
    started = time.monotonic()
    try:
        counts = generate(
            options.url,
            size=options.size,
            seed=options.seed,
            today=options.today,
            replace=options.replace,
            progress=_report if sys.stderr.isatty() else None,
        )
    except FileExistsError as fault:
        print(fault, file=sys.stderr)
        return 2
    for table, count in counts.items():
        print(f"{table:<9}{count:>10,}")
    print(f"{time.monotonic() - started:.1f} s")
    return 0


def _report(done: int, size: int) -> None:
    print(f"\r{done:,} of {size:,} policies", end="" if done < size else "\n", file=sys.stderr)


if __name__ == "__main__":
    raise SystemExit(main())
