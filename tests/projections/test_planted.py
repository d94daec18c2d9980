"""Every kind of impurity that we can think of is found; nothing pure that looks like it is."""

import datetime as dt
import gc
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from adapters.read_store.sql import SqlReadStore, open_read_store
from migrations.schema.read_store import metadata
from tests.projections.planted import ALIKE, PLANTED
from tests.support.log import ListArchive, ListLog, as_archive, as_log
from tests.support.read_store import CATALOGUE, PARTITIONS, START, TOPIC, PolicyIssued, Story
from toolkit.core.projections import Projection, on
from toolkit.core.records import Delivery
from toolkit.loops.project import Pace, Projector
from toolkit.loops.purity import impurities
from toolkit.loops.verify import verify

RUN = {name: one for name, one in PLANTED.items() if one.at_run_time}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlReadStore]:
    """A read store; which one makes no difference here."""
    opened = open_read_store(f"sqlite:///{tmp_path}/read.db")
    metadata.create_all(opened.engine)
    yield opened
    opened.close()


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_impurity_is_seen_in_the_source(name: str) -> None:
    found = impurities(PLANTED[name].projection.definition)
    assert [
        fault.what
        for fault in found
        if fault.what.startswith(PLANTED[name].says) or PLANTED[name].says in fault.what
    ]
    assert all(fault.next and "planted.py:" in fault.where for fault in found)
    assert len(found) <= 2, [str(one) for one in found]


@pytest.mark.parametrize("name", ALIKE)
def test_what_is_pure_and_looks_alike_is_not_held_against_it(name: str) -> None:
    assert not [str(one) for one in impurities(ALIKE[name].definition)]


def findings(projection: type[Projection], store: SqlReadStore) -> tuple[str, ...]:
    """Live once, then verified."""
    definition, topics, story = projection.definition, {TOPIC: PARTITIONS}, Story(PARTITIONS)
    records = story.tell(
        *(PolicyIssued(policy_no=f"P-{at}", broker=f"B-{at % 3}", premium=Decimal("1.10")) for at in range(6))
    )
    log = ListLog(topics)
    log.put(TOPIC, *records)

    def clock() -> dt.datetime:
        return START

    projector = Projector(definition, CATALOGUE, store, as_log(log), topics, clock, Pace(patience=0.0))
    projector.start()
    while projector.advance(7).deliveries:
        pass
    archive = as_archive(ListArchive(TOPIC, records))
    done = verify(definition, CATALOGUE, store, archive, clock, batches=(50, 3))
    assert done.events == len(records)
    return done.findings


@pytest.mark.parametrize("name", RUN)
def test_the_guard_sees_it_run_whatever_the_source_says(
    name: str, store: SqlReadStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toolkit.loops.verify.impurities", lambda _: [])
    seen = findings(RUN[name].projection, store)
    assert any(RUN[name].at_run_time in one for one in seen), seen


@pytest.mark.parametrize("name", ALIKE)
def test_the_guard_lets_the_pure_ones_run(name: str, store: SqlReadStore) -> None:
    assert findings(ALIKE[name], store) == ()


def test_there_are_many_kinds() -> None:
    assert len(PLANTED) >= 45
    assert len(RUN) >= 18
    assert len(ALIKE) >= 7


class Garbage:
    """What only the garbage collector finds; it looks at the clock when it ends."""

    def __init__(self) -> None:
        self.itself = self

    def __del__(self) -> None:
        time.time()


def test_what_ends_somewhere_else_while_a_handler_runs_is_not_held_against_it(
    store: SqlReadStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Many(Projection, version=1, context="sales", key="policy_no"):
        policy_no: str
        note: str = ""

        @on(PolicyIssued, creates=True)
        def issued(self, event: PolicyIssued) -> None:
            self.note = str(len([[at] for at in range(30_000)]))

    scan = ListArchive.scan

    def littering(self: ListArchive, *given: Any) -> list[Delivery]:
        there = [Garbage() for _ in range(10)]
        gc.collect()  # old by now: not found before a handler has made much
        del there
        return scan(self, *given)

    monkeypatch.setattr(ListArchive, "scan", littering)
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(100)
    try:
        assert findings(Many, store) == ()
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
