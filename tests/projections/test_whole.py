"""The real log and the real archive under a projector, a rebuild, a repair and a verification, on each engine."""

import datetime as dt
from decimal import Decimal

import pytest

from adapters.log.sql import SqlLog
from adapters.read_store.sql import SqlReadStore
from adapters.state.store import State
from tests.support.read_store import (
    BOOK,
    CATALOGUE,
    PARTITIONS,
    POLICY,
    SECOND,
    SOURCE,
    START,
    TOPIC,
    TOPICS,
    PolicyIssued,
    PremiumAgreed,
    Story,
)
from tests.support.state import state, state_url
from toolkit.core.events import Event
from toolkit.core.projections import Definition, Projection, on
from toolkit.core.records import Draft, Watermark
from toolkit.cutover.switching import switch
from toolkit.loops.project import Pace, Projector
from toolkit.loops.rebuild import Rebuild, compare_versions
from toolkit.loops.relay import lease_name
from toolkit.loops.replay import replay_parked, reproject
from toolkit.loops.verify import verify

__all__ = ["state", "state_url"]


def clock() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class SecondBook(Projection, version=2, context="sales", key="broker", name="broker_book"):
    broker: str
    policies: int = 0
    largest: Decimal = Decimal(0)

    @on(PolicyIssued, creates=True)
    def issued(self, event: PolicyIssued) -> None:
        self.policies += 1
        self.largest = max(self.largest, event.premium)


class World:
    """What the relay does, without a legacy source: archive, publish, mark, promise."""

    def __init__(self, state: State, store: SqlReadStore) -> None:
        self.state, self.store, self.story = state, store, Story()
        self.log = SqlLog(state.engine)
        self.log.create(TOPIC, PARTITIONS)
        self.publisher = self.log.publisher(TOPIC)
        self.epoch = state.leases.acquire(lease_name(SOURCE), "test", dt.timedelta(minutes=9), clock())
        self.instant = START

    def archive(self, *events: Event) -> None:
        records = self.story.tell(*events)
        drafts = [Draft(envelope=one.envelope, data=one.data) for one in records]
        self.state.archive.append(SOURCE, TOPIC, drafts, partitions=PARTITIONS, epoch=self.epoch)

    def relay(self, *, mark: bool = True) -> None:
        waiting = self.state.archive.unpublished(TOPIC, 1000)
        coordinates = self.publisher.publish(waiting)
        if mark:
            self.state.archive.published(TOPIC, coordinates, source=SOURCE, epoch=self.epoch)
        self.instant += SECOND
        last = self.state.archive.last_sequences(TOPIC)
        self.publisher.watermark(
            {at: Watermark(as_of=self.instant, sequence=last.get(at, 0)) for at in range(PARTITIONS)}
        )
        self.state.archive.watermarked(TOPIC, self.instant, source=SOURCE, epoch=self.epoch)

    def run(self, definition: Definition) -> None:
        projector = Projector(definition, CATALOGUE, self.store, self.log, TOPICS, clock, Pace(patience=0.0))
        projector.start()
        while projector.advance(7).deliveries:
            pass
        projector.close()


@pytest.fixture
def world(state: State, read_store: SqlReadStore) -> World:
    return World(state, read_store)


def issued(number: int) -> PolicyIssued:
    return PolicyIssued(policy_no=f"P-{number}", broker=f"B-{number % 2}", premium=Decimal(number))


def test_a_crash_between_publishing_and_marking_counts_nothing_twice(world: World) -> None:
    world.archive(*map(issued, range(10)))
    world.relay(mark=False)
    world.run(BOOK)
    world.archive(*map(issued, range(10, 15)))
    world.relay()
    world.run(BOOK)
    assert sum(int(str(row["policies"])) for row in world.store.rows(BOOK, None, 9)) == 15
    checkpoints = world.store.checkpoints("broker_book", 1)
    assert {one.as_of for one in checkpoints} == {world.instant}
    assert sum(one.sequence for one in checkpoints) == 15
    assert sum(one.next_offset for one in checkpoints) == 25


def test_from_the_first_version_to_the_second_and_back(world: World) -> None:
    world.archive(*map(issued, range(30)))
    world.relay()
    world.run(BOOK)
    rebuild = Rebuild(
        SecondBook.definition,
        CATALOGUE,
        world.store,
        world.state.archive,
        world.log,
        TOPICS,
        clock,
        batch=7,
        patience=dt.timedelta(),
    )
    assert not rebuild.run().complete
    world.archive(*map(issued, range(30, 40)))
    world.relay()
    world.run(BOOK)
    world.run(SecondBook.definition)
    for definition in (BOOK, SecondBook.definition):
        done = verify(definition, CATALOGUE, world.store, world.state.archive, clock)
        assert (done.findings, done.events) == ((), 40)
    compared = compare_versions(world.store, BOOK, SecondBook.definition)
    assert (compared.different, compared.columns_new) == (0, ("largest",))
    assert switch(world.store, "broker_book", 2) == 1
    assert switch(world.store, "broker_book", 1) == 2


def test_a_row_is_mended_from_the_archive(world: World) -> None:
    world.archive(issued(1), PremiumAgreed(policy_no="P-1", premium=Decimal(-1)), issued(2))
    world.relay()
    world.run(POLICY)
    done = reproject(POLICY, CATALOGUE, world.store, world.state.archive, "P-1", clock)
    assert done.before == done.after
    assert len(done.waiting) == len(replay_parked(POLICY, CATALOGUE, world.store, clock).waiting) == 1
    assert verify(POLICY, CATALOGUE, world.store, world.state.archive, clock).findings == ()
