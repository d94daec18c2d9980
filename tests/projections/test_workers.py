"""Several processes follow a version together: over both logs, whoever joins, dies or sleeps, every event counts once."""

from __future__ import annotations

import re
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from adapters.engines import open_engine
from adapters.read_store.sql import SqlReadStore, open_read_store
from migrations.schema.read_store import metadata as store_tables
from migrations.schema.state import metadata as state_tables
from tests.projections.shared_worker import opened
from tests.support.crew import ANEW, PARTITIONS, TALLY, VIEW, clock
from tests.support.processes import Child, python_child
from tests.support.read_store import CATALOGUE, PolicyIssued, PremiumAgreed, Story
from tests.support.waiting import wait_until
from toolkit.core.projections import Definition
from toolkit.core.records import Record, Watermark
from toolkit.loops import folding
from toolkit.loops.folding import Held
from toolkit.loops.project import Pace, Projector
from toolkit.ports import Log

POLICIES = 40
LONG = 180
"""Seconds that processes are given on a machine that is busy with everything else."""
PLACES = [
    "sqlite",
    pytest.param("postgres", marks=pytest.mark.postgres),
    pytest.param("classic", marks=[pytest.mark.kafka, pytest.mark.postgres]),
    pytest.param("consumer", marks=[pytest.mark.kafka]),
    pytest.param("mariadb", marks=[pytest.mark.mariadb]),
]


@dataclass
class World:
    """A log that grows, with events that stand in it twice, and the processes that read it."""

    log: Log
    topic: str
    store: SqlReadStore
    arguments: tuple[str, ...]

    def __post_init__(self) -> None:
        self.story = Story(PARTITIONS, self.topic)
        self.log.create(self.topic, PARTITIONS)
        self.publisher = self.log.publisher(self.topic)
        self._happen_at_first()

    def _happen_at_first(self) -> None:
        names = [f"P-{number}" for number in range(POLICIES)]
        self.publisher.publish(
            self.story.tell(*(PolicyIssued(policy_no=name, broker="B", premium=Decimal(1)) for name in names))
        )

    def happen(self, rounds: int = 1) -> None:
        """Something in every partition; the last of it is published again, as a relay does that lost the answer."""
        for number in range(rounds):
            told = self.story.tell(
                *(PremiumAgreed(policy_no=f"P-{at}", premium=Decimal(number)) for at in range(POLICIES))
            )
            self.publisher.publish(told)
            self.publisher.publish(told[-10:])
        last = [
            max(one.sequence for one in self.story.records if one.partition == at) for at in range(PARTITIONS)
        ]
        self.publisher.watermark(
            {at: Watermark(as_of=clock(), sequence=sequence) for at, sequence in enumerate(last)}
        )

    @contextmanager
    def happening(self) -> Iterator[None]:
        """Events come while something else is done."""
        stop = threading.Event()

        def go_on() -> None:
            while not stop.is_set():
                self.happen()
                time.sleep(0.02)

        thread = threading.Thread(target=go_on)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    @contextmanager
    def worker(self) -> Iterator[Child]:
        with python_child("-m", "tests.projections.shared_worker", *self.arguments) as child:
            try:
                yield child
            except BaseException:
                print(child.output)  # noqa: T201 - beside what failed, what the process said
                raise

    def freeze(self, child: Child) -> None:
        """Stop it, but with no lock in its hand that no server can take away: a file's, or one while it sends rows."""
        while True:
            child.pause()
            time.sleep(0.5)
            if not self._locked():
                return
            child.resume()
            time.sleep(0.1)

    def _locked(self) -> bool:
        state = make_url(self.arguments[2])
        if state.get_backend_name() == "sqlite":
            file = sqlite3.connect(str(state.database), timeout=1.0, isolation_level=None)
            with closing(file):
                try:
                    file.execute("BEGIN IMMEDIATE")
                except sqlite3.OperationalError:
                    return True
            return False
        sending = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND wait_event = 'ClientRead'"
        with self.store.engine.connect() as connection:
            return bool(connection.exec_driver_sql(sending).scalar())

    def caught_up(self, definition: Definition) -> bool:
        known = self.store.versions(definition.name)
        there = self.store.checkpoints(definition.name, 1) if known else []
        return sum(one.sequence for one in there) == len(self.story.records)


@pytest.fixture(params=PLACES)
def world(request: pytest.FixtureRequest, tmp_path: Path, topic_name: str) -> Iterator[World]:
    place = request.param
    url = f"sqlite:///{tmp_path}/one.db"
    if place in ("postgres", "classic"):
        url = request.getfixturevalue("postgres_url")
    broker = place in ("classic", "consumer")
    where = f"{place}@{request.getfixturevalue('kafka_bootstrap')}" if broker else url
    views = request.getfixturevalue("mariadb_url") if place == "mariadb" else url
    engine = open_engine(url)
    state_tables.create_all(engine)
    store, log = open_read_store(views), opened(where)
    store_tables.create_all(store.engine)
    yield World(log, topic_name, store, (where, topic_name, url, views))
    log.close()
    store.close()
    engine.dispose()


def reads(child: Child, definition: Definition) -> set[int]:
    """The partitions that a process says it reads for a version."""
    found: set[int] = set()
    for line in list(child.lines):
        if not line.startswith(f"{definition.identity}: "):
            continue
        said = {int(one) for one in re.findall(r"\[(\d+)\]", line)}
        if ": reads " in line:
            found |= said
        elif ": gives up " in line:
            found -= said
        elif "follows the log" not in line and "ended the transaction of" not in line:
            found = set()  # whatever went wrong: it begins anew
    return found


def divided(*children: Child) -> bool:
    """Does each partition of both versions have one reader, and each reader one?"""
    for definition in (TALLY, VIEW):
        parts = [reads(child, definition) for child in children]
        if not all(parts) or sorted(one for part in parts for one in part) != list(range(PARTITIONS)):
            return False
    return True


def pure_fold(definition: Definition, records: list[Record], topic: str) -> dict[object, object]:
    """One event after the other, each once."""
    rows: dict[object, dict[str, object] | None] = {}
    for record in records:
        steps = folding.read(definition, CATALOGUE, [(topic, record)])
        folded = folding.fold(definition, steps, rows, Held(), clock())
        assert not folded.parked
        rows.update(folded.changed)
    return dict(rows)


def is_right(world: World, definition: Definition) -> None:
    """The table is the pure fold of the distinct events, and its digest that of a version built anew."""
    stored = {definition.key_in(row): row for row in world.store.rows(definition, None, 1000)}
    assert stored == pure_fold(definition, world.story.records, world.topic)
    topics, pace = {world.topic: PARTITIONS}, Pace(patience=1.0)
    anew = Projector(ANEW[definition.name], CATALOGUE, world.store, world.log, topics, clock, pace)
    anew.start()
    while sum(one.sequence for one in anew.checkpoints) < len(world.story.records):
        anew.advance()
    anew.close()
    assert world.store.digest(definition).digest == world.store.digest(anew.definition).digest


@pytest.mark.slow
def test_whoever_joins_dies_or_sleeps_every_event_counts_once(world: World) -> None:
    with ExitStack() as stack:
        first, second = (stack.enter_context(world.worker()) for _ in range(2))
        with world.happening():
            wait_until(lambda: divided(first, second), LONG, what="two to divide the partitions")
            third = stack.enter_context(world.worker())
            wait_until(lambda: divided(first, second, third), LONG, what="a third to get its part")
            second.kill()
            wait_until(lambda: divided(first, third), LONG, what="what the killed one read to be read")
            world.freeze(third)
            wait_until(
                lambda: all(len(reads(first, one)) == PARTITIONS for one in (TALLY, VIEW)),
                LONG,
                what="what the frozen one read to be read",
            )
            third.resume()
            wait_until(lambda: divided(first, third), LONG, what="the woken one to get a part again")
        for definition in (TALLY, VIEW):
            wait_until(partial(world.caught_up, definition), LONG, what="all to be read")
            is_right(world, definition)
        assert re.search("begins anew|cannot be used", third.output), "the woken one was refused"
