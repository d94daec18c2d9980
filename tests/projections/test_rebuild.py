"""A second version beside the first: from the archive, caught up, compared, switched, and back."""

import datetime as dt
import threading
from decimal import Decimal
from typing import Any

import pytest

from adapters.read_store.sql import SqlReadStore
from tests.support.log import ListArchive, ListLog, as_archive, as_log
from tests.support.read_store import (
    BOOK,
    CATALOGUE,
    POLICY,
    SECOND,
    START,
    TOPIC,
    TOPICS,
    PolicyIssued,
    PremiumAgreed,
    Story,
)
from toolkit.core.errors import Refused
from toolkit.core.projections import Definition, Projection, on
from toolkit.cutover.switching import switch
from toolkit.loops.project import Pace, Projector
from toolkit.loops.rebuild import Difference, Progress, Rebuild, compare_versions


class Ticking:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> dt.datetime:
        self.now += SECOND / 100
        return self.now


class SecondView(Projection, version=2, context="service", key="policy_no", name="policy_view"):
    """A premium is positive now, and the broker is known."""

    policy_no: str
    premium: Decimal
    broker: str

    @on(PolicyIssued, creates=True)
    def issued(self, event: PolicyIssued) -> None:
        self.premium, self.broker = event.premium, event.broker

    @on(PremiumAgreed)
    def agreed(self, event: PremiumAgreed) -> None:
        self.premium = abs(event.premium)


SECOND_VIEW = SecondView.definition


class World:
    """Log, archive and read store after some history, with version 1 running."""

    def __init__(self, store: SqlReadStore) -> None:
        self.store, self.story, self.clock = store, Story(), Ticking()
        self.log, self.archive = ListLog(TOPICS), ListArchive(TOPIC)
        self.first = self.projector(POLICY)
        self.first.start()

    def projector(self, definition: Definition) -> Projector:
        return Projector(
            definition, CATALOGUE, self.store, as_log(self.log), TOPICS, self.clock, Pace(patience=0.0)
        )

    def happen(self, *events: Any) -> None:
        records = self.story.tell(*events)
        self.log.put(TOPIC, *records)
        self.archive.records += records

    def promise(self, seconds: int) -> None:
        self.log.mark(TOPIC, START + seconds * SECOND)
        self.archive.watermark = START + seconds * SECOND

    def rebuild(self, definition: Definition = SECOND_VIEW, **options: Any) -> Rebuild:
        options = {"batch": 3, "patience": SECOND, **options}
        return Rebuild(
            definition,
            CATALOGUE,
            self.store,
            as_archive(self.archive),
            as_log(self.log),
            TOPICS,
            self.clock,
            **options,
        )

    def state(self, version: int) -> str:
        return next(one.state for one in self.store.versions("policy_view") if one.version == version)


def issued(number: int) -> PolicyIssued:
    return PolicyIssued(policy_no=f"P-{number}", broker="B", premium=Decimal(number))


def drain(running: Projector) -> None:
    while running.advance().deliveries:
        pass


@pytest.fixture
def world(read_store: SqlReadStore) -> World:
    world = World(read_store)
    world.happen(
        *(issued(number) for number in range(10)),
        PremiumAgreed(policy_no="P-1", premium=Decimal(-5)),
        PremiumAgreed(policy_no="P-2", premium=Decimal(22)),
    )
    world.promise(1)
    drain(world.first)
    return world


def test_a_version_is_built_beside_the_serving_one_and_goes_on_from_the_log(world: World) -> None:
    told: list[Progress] = []

    def meanwhile(progress: Progress) -> None:
        told.append(progress)
        if progress.phase == "archive" and progress.done == 12:
            world.log.put(TOPIC, *world.story.tell(issued(10)))  # published, not yet marked as such
            world.promise(2)

    done = world.rebuild().run(report=meanwhile)
    assert (done.complete, done.events, done.parked, done.as_of) == (True, 13, 0, START + 2 * SECOND)
    assert (world.state(2), world.state(1)) == ("running", "running")
    assert [one.done for one in told if one.phase == "archive"][-1] == 12
    assert all(one.total >= one.done and one.rate > 0 for one in told)
    assert [one["policy_no"] for one in world.store.rows(SECOND_VIEW, None, 99)] == sorted(
        f"P-{number}" for number in range(11)
    )


def test_it_does_not_end_on_a_watermark_from_before_it_began(world: World) -> None:
    done = world.rebuild().run()
    assert (done.complete, done.as_of) == (False, START + SECOND)
    assert "strangler relay" in done.detail
    world.promise(2)
    again = world.rebuild().run()
    assert not again.complete, "that one is from before the second run, too"
    world.archive.watermark = START
    assert world.rebuild().run().complete


def test_a_rebuild_that_was_stopped_goes_on_where_it_was(world: World) -> None:
    stop = threading.Event()
    done = world.rebuild().run(stop, lambda _: stop.set())
    assert (done.complete, done.events) == (False, 3)
    world.archive.watermark = None
    again = world.rebuild().run()
    assert (again.complete, again.events) == (True, 9)
    assert world.store.digest(SECOND_VIEW).rows == 10


def test_an_event_that_cannot_be_read_stops_it_and_the_next_run_goes_on_from_there(world: World) -> None:
    bad = world.story.tell_raw("PolicyIssued", "P-77", b'{"policy_no": "P-77"}', 2)
    world.archive.records.append(bad)
    with pytest.raises(Refused, match=r"(?s)event .*PolicyIssued of P-77.*broker.*strangler rebuild"):
        world.rebuild().run()
    assert world.state(2) == "failed"
    world.archive.records[-1] = type(bad)(
        envelope=bad.envelope,
        data=b'{"policy_no":"P-77","broker":"B","premium":"1"}',
        partition=bad.partition,
        sequence=bad.sequence,
    )
    world.log.put(TOPIC, world.archive.records[-1])
    world.archive.watermark = None
    assert world.rebuild().run().parked == 0
    assert world.store.load(SECOND_VIEW, ["P-77"])


def test_an_event_type_that_nobody_knows_stops_it(world: World) -> None:
    world.archive.records.append(world.story.tell_raw("PolicyForgotten", "P-1", b"{}"))
    with pytest.raises(Refused, match="PolicyForgotten is not in the catalogue"):
        world.rebuild().run()


def test_an_event_that_cannot_be_applied_is_parked_and_shown(world: World) -> None:
    world.happen(PremiumAgreed(policy_no="nobody", premium=Decimal(1)))
    world.archive.watermark = None
    assert world.rebuild().run().parked == 1
    assert [one.key for one in world.store.parked("policy_view", 2)] == ["nobody"]


def test_the_serving_version_is_not_rebuilt_under_its_readers(world: World) -> None:
    with pytest.raises(Refused, match="raise version="):
        world.rebuild(POLICY).run()
    first = world.rebuild(BOOK)
    world.archive.watermark = None
    assert first.run().complete, "but one that never was complete may be"


def test_two_versions_are_compared_row_by_row(world: World) -> None:
    world.archive.watermark = None
    world.rebuild().run()
    for page in (1, 4, 100):
        found = compare_versions(world.store, POLICY, SECOND_VIEW, page=page)
        assert (found.same, found.different, found.only_old, found.only_new) == (9, 1, 0, 0)
        assert found.by_column == {"premium": 1}
        assert found.examples == (Difference(key="P-1", column="premium", old=Decimal(1), new=Decimal(5)),)
        assert (found.columns_new, "changes" in found.columns_gone) == (("broker",), True)
    world.happen(issued(50))
    drain(world.first)
    assert compare_versions(world.store, POLICY, SECOND_VIEW).missing == ("P-50",)
    assert compare_versions(world.store, SECOND_VIEW, POLICY).extra == ("P-50",)


def test_reads_are_switched_to_a_complete_version_and_back(world: World) -> None:
    with pytest.raises(Refused, match="strangler rebuild policy_view --version 2"):
        switch(world.store, "policy_view", 2)
    stopped = threading.Event()
    stopped.set()
    world.rebuild().run(stopped)
    with pytest.raises(Refused, match="building and was never complete"):
        switch(world.store, "policy_view", 2)
    world.archive.watermark = None
    world.rebuild().run()
    assert switch(world.store, "policy_view", 2) == 1
    assert switch(world.store, "policy_view", 2) is None
    assert switch(world.store, "policy_view", 1) == 2


def test_reads_are_not_switched_to_a_version_that_stands_far_behind(world: World) -> None:
    world.archive.watermark = None
    world.rebuild().run()
    world.promise(60)
    drain(world.first)
    with pytest.raises(Refused, match="has caught up"):
        switch(world.store, "policy_view", 2)
    drain_second = world.projector(SECOND_VIEW)
    drain_second.start()
    drain(drain_second)
    assert switch(world.store, "policy_view", 2) == 1
