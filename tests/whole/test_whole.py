"""Two databases that nobody here designed, captured whole beside a random writer: the fold of the events is the tables (R1, R2)."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, Table, create_engine, event, make_url

from tests.pagila.test_pagila import load
from tests.servers.postgres import PostgresServer
from tests.support import wait_until
from tests.support.legacy import application, legacy_url
from tests.whole import employees
from tests.whole.folding import differences, folded, readers_of, reflect, tables_of
from tests.whole.project import SOURCE, Aggregates, write_project
from tests.whole.writer import Writer
from toolkit.app import App, open_project

__all__ = ["legacy_url"]

PAGILA = {
    "country": {"country": "country_id"},
    "city": {"city": "city_id"},
    "address": {"address": "address_id"},
    "language": {"language": "language_id"},
    "category": {"category": "category_id"},
    "actor": {"actor": "actor_id"},
    "store": {"store": "store_id", "staff": "store_id"},
    "film": {"film": "film_id", "film_actor": "film_id", "film_category": "film_id", "inventory": "film_id"},
    "customer": {"customer": "customer_id", "rental": "customer_id", "payment": "customer_id"},
    "oddity": {"oddities": "half"},
}
_ODDITIES = """
CREATE TABLE oddities (
  half CHAR(6) NOT NULL, other NUMERIC(12,3) NOT NULL, bits BIT(5), blob BYTEA, plain TIMESTAMP, clock TIME,
  doc JSONB, double DOUBLE PRECISION, id UUID, words TEXT[],
  whole NUMERIC(9), search TSVECTOR, PRIMARY KEY (half, other));
INSERT INTO oddities
  SELECT 'h' || i % 40, i * 1.5, B'10101', '\\x00ff', '2024-02-29 12:00:00.5', '23:59:59.999999', '{"a": [1, null]}',
    0.1 * i, '6f6f1e0c-6b1e-5d0e-9c1a-3b0a7a1f6d52'::uuid, ARRAY['a', NULL, 'c "d"'], i, to_tsvector('the word ' || i) FROM generate_series(1, 300) i
"""
LEAST = 20
"""So often each kind of statement has to be committed before a run ends, however slow the machine is."""


class Whole:
    """A database, its application's engine, and the project that captures it."""

    def __init__(self, folder: Path, url: str, engine: Engine, aggregates: Aggregates, chunk: int) -> None:
        self.engine, self.aggregates = engine, aggregates
        self.tables: list[Table] = reflect(engine, aggregates)
        self.folder = write_project(folder, url, aggregates, chunk=chunk)

    @property
    def subjects(self) -> dict[str, str]:
        return {table.upper(): column for some in self.aggregates.values() for table, column in some.items()}

    def prepare(self) -> None:
        """Set up, and install capture."""
        with open_project(self.folder) as app:
            app.setup()
            capture = app.legacy(SOURCE).capture
            capture.install(capture.plan(app.project.captured(SOURCE)))

    def run(self, seconds: float, *, threads: int, seed: int) -> None:
        """Write, backfill, and relay at once; then let everything flow, and compare."""
        self.prepare()
        writer = Writer(self.engine, self.tables, threads=threads, seed=seed)
        with open_project(self.folder) as app:
            until = time.monotonic() + seconds
            with writer:
                _flow(app, writer, until)
        self.compare()

    def write(self, seed: int, *, transactions: int) -> None:
        """So many transactions, one after another."""
        Writer(self.engine, self.tables, threads=0, seed=seed).write(transactions)

    def compare(self) -> None:
        """Let everything flow, fold it, and see that it is what the tables say."""
        with open_project(self.folder) as app:
            _drain(app)
            assert app.state.archive.parked(SOURCE) == []
            with self.engine.connect() as connection:
                stored = tables_of(connection, self.tables)
            readers = readers_of(self.engine, self.tables)
            found = differences(folded(app, self.tables, readers, self.subjects), stored)
        assert found == [], f"{len(found)} differences, such as {found[:5]}"


def _flow(app: App, writer: Writer, until: float) -> None:
    translation = app.translation(SOURCE)
    relay = app.relay(SOURCE, translation)
    relay.lead()
    backfill = app.backfill(SOURCE, translation)
    while backfill.step(relay.epoch) is not None:
        relay.keep_leading()
    relay.resign()
    # What began beside the backfill goes on for a while beside the relay.
    stop = threading.Event()
    following = threading.Thread(target=app.relay(SOURCE, translation).run, args=(stop,), daemon=True)
    following.start()
    try:
        wait_until(
            lambda: time.monotonic() > until and writer.wrote(LEAST), timeout=240, what="enough writes"
        )
    finally:
        stop.set()
    following.join(timeout=60)
    assert not following.is_alive()


def _drain(app: App) -> None:
    relay = app.relay(SOURCE, app.translation(SOURCE))
    relay.lead()
    relay.drain()
    relay.resign()


@pytest.fixture
def company(legacy_url: str, tmp_path: Path) -> Iterator[Whole]:
    """Employees, on each engine."""
    with contextlib.ExitStack() as stack:
        # Not in the quotes of `application`: under them MariaDB cannot be reflected.
        maria = make_url(legacy_url).get_backend_name() in ("mysql", "mariadb")
        engine = create_engine(legacy_url) if maria else application(legacy_url)
        stack.callback(engine.dispose)
        if engine.dialect.name == "sqlite":
            event.listen(engine, "connect", lambda one, _: one.execute("PRAGMA foreign_keys=ON"))
        with engine.begin() as connection:
            employees.fill(connection, 200)
        yield Whole(tmp_path, legacy_url, engine, employees.AGGREGATES, chunk=20)


@pytest.fixture
def pagila(postgres_server: PostgresServer, tmp_path: Path) -> Iterator[Whole]:
    """Pagila as it is shipped, and a table of the types that it does not have."""
    with postgres_server.database() as url, contextlib.closing(contextlib.ExitStack()) as stack:
        load(url)
        engine = application(url)
        stack.callback(engine.dispose)
        with engine.begin() as connection:
            connection.execution_options(no_parameters=True).exec_driver_sql(_ODDITIES)
        yield Whole(tmp_path, url, engine, PAGILA, chunk=1500)


def test_the_employees_are_what_their_events_say(company: Whole) -> None:
    threads = 1 if company.engine.dialect.name == "sqlite" else 3
    company.run(3, threads=threads, seed=1)


def test_pagila_is_what_its_events_say(pagila: Whole) -> None:
    pagila.run(5, threads=3, seed=2)


@pytest.mark.soak
@pytest.mark.parametrize("seed", [3, 4])
def test_the_employees_are_what_their_events_say_after_a_minute(company: Whole, seed: int) -> None:
    company.run(60, threads=1 if company.engine.dialect.name == "sqlite" else 4, seed=seed)


@pytest.mark.soak
@pytest.mark.parametrize("seed", [5, 6])
def test_pagila_is_what_its_events_say_after_a_minute(pagila: Whole, seed: int) -> None:
    pagila.run(60, threads=4, seed=seed)
