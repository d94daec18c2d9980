"""Several write one version: whose partition was claimed by another, or whose version was taken, writes nothing more (R4)."""

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.read_store.sql import SqlReadStore, open_read_store
from migrations.schema.read_store import metadata
from tests.support.crew import TALLY
from tests.support.read_store import CATALOGUE, SECOND, START, PolicyIssued, PremiumAgreed, Story
from toolkit.core.errors import Fenced, Refused, UsageError
from toolkit.core.events import Event
from toolkit.core.records import Coordinates, Delivery, Record, Watermark
from toolkit.loops.keeping import Keeper, Pace, Work
from toolkit.loops.replay import replay_parked

TOPIC = "insurer.policy_admin"
PARTITIONS = 2
TOPICS = {TOPIC: PARTITIONS}
ALL = [(TOPIC, 0), (TOPIC, 1)]
HOUR = dt.timedelta(hours=1)


class World:
    """Records in their partitions, and processes that fold them when they are told to."""

    def __init__(self, store: SqlReadStore) -> None:
        self.store, self.story, self.now = store, Story(PARTITIONS, TOPIC), START
        self.records: dict[int, list[Record]] = {0: [], 1: []}

    def clock(self) -> dt.datetime:
        self.now += SECOND
        return self.now

    def tell(self, *events: Event) -> None:
        for record in self.story.tell(*events):
            self.records[record.partition].append(record)

    def worker(
        self,
        *places: tuple[str, int],
        park_limit: int = 100,
        clock: Callable[[], dt.datetime] | None = None,
    ) -> Keeper:
        pace = Pace(park_limit=park_limit)
        made = Keeper(TALLY, CATALOGUE, self.store, clock or self.clock, pace, topics=TOPICS)
        made.join()
        made.claim(places)
        return made

    def next(self, keeper: Keeper, count: int = 100) -> list[Delivery]:
        """What the log gives next of the partitions that it reads."""
        return [
            Delivery(at=Coordinates(topic=TOPIC, partition=at, offset=one.sequence - 1), content=one)
            for (_, at), stands in keeper.ahead.checkpoints.items()
            for one in self.records[at][stands.next_offset :][:count]
        ]

    def rows(self) -> dict[object, int]:
        return {row["policy_no"]: int(str(row["changes"])) for row in self.store.rows(TALLY, None, 100)}

    def counted(self) -> dict[object, int]:
        found: dict[object, int] = {}
        for record in self.story.records:
            found[record.envelope.subject] = found.get(record.envelope.subject, 0) + 1
        return found


@pytest.fixture
def world(sql_store: SqlReadStore) -> World:
    return told(sql_store)


def told(store: SqlReadStore, rounds: int = 1) -> World:
    """With six events, and six more for each round."""
    world = World(store)
    names = [f"P-{at}" for at in range(6)]
    world.tell(*(PolicyIssued(policy_no=name, broker="B", premium=Decimal(1)) for name in names))
    for _ in range(rounds):
        world.tell(*(PremiumAgreed(policy_no=name, premium=Decimal(2)) for name in names))
    return world


def refused(keeper: Keeper, deliveries: list[Delivery]) -> None:
    with pytest.raises(Fenced):
        keeper.write(keeper.fold(deliveries))


def test_each_writes_its_own_partition_and_no_other(world: World) -> None:
    first, second = world.worker(ALL[0]), world.worker(ALL[1])
    for keeper in (first, second):
        keeper.advance(world.next(keeper))
    assert world.rows() == world.counted()
    assert [one.sequence for one in world.store.checkpoints("policy_tally", 1)] == [
        len(world.records[0]),
        len(world.records[1]),
    ]


def test_who_wakes_up_with_a_batch_in_hand_after_another_claimed_its_partition_writes_nothing(
    world: World,
) -> None:
    sleeper = world.worker(*ALL)
    work = sleeper.fold(world.next(sleeper, 1))
    other = world.worker(ALL[0])
    while deliveries := world.next(other, 1):
        other.advance(deliveries)
    before = world.rows()
    with pytest.raises(Fenced, match=r"another process reads insurer\.policy_admin\[0\] by now"):
        sleeper.write(work)
    assert world.rows() == before
    assert world.store.checkpoints("policy_tally", 1)[0].sequence == len(world.records[0])


def test_what_it_still_owns_it_goes_on_writing(world: World) -> None:
    first = world.worker(*ALL)
    second = world.worker(ALL[1])
    refused(first, world.next(first))
    again = world.worker(ALL[0])
    for keeper in (again, second):
        keeper.advance(world.next(keeper))
    assert world.rows() == world.counted()


def test_who_takes_the_whole_version_fences_all_of_them_and_they_join_again(world: World) -> None:
    first, second = world.worker(ALL[0]), world.worker(ALL[1])
    first.advance(world.next(first, 1))
    world.store.seize("policy_tally", 1)
    refused(first, world.next(first))
    refused(second, world.next(second))
    again = world.worker(*ALL)
    again.advance(world.next(again))
    assert world.rows() == world.counted()


def test_a_repair_that_took_the_version_is_refused_once_they_are_back(world: World) -> None:
    world.worker(*ALL)
    epoch = world.store.seize("policy_tally", 1)
    world.worker(*ALL)
    with pytest.raises(Fenced):
        world.store.set_state("policy_tally", 1, "running", "", epoch=epoch, now=START)


def test_a_claim_in_the_name_of_an_old_epoch_is_refused(world: World) -> None:
    old = world.worker(ALL[0])
    world.store.seize("policy_tally", 1)
    with pytest.raises(Fenced):
        old.claim([ALL[1]])


def test_a_partition_that_the_version_was_not_created_for_is_named(world: World) -> None:
    worker = world.worker()
    with pytest.raises(UsageError, match=r"no checkpoint for insurer\.policy_admin\[7\]"):
        worker.claim([(TOPIC, 7)])


def test_who_claims_begins_with_what_the_other_committed_and_nothing_from_memory(world: World) -> None:
    first = world.worker(*ALL)
    first.advance(world.next(first))
    second = world.worker(ALL[0])
    world.tell(*(PremiumAgreed(policy_no=f"P-{at}", premium=Decimal(3)) for at in range(6)))
    second.advance(world.next(second))
    first = world.worker(*ALL)
    first.advance(world.next(first))
    assert world.rows() == world.counted()


def test_the_limit_of_parked_events_is_the_versions_not_each_workers(world: World) -> None:
    def bad(count: int) -> None:
        world.tell(*(PremiumAgreed(policy_no=f"Q-{at}", premium=Decimal(3)) for at in range(count)))

    bad(12)
    here = {at: sum(one.envelope.subject[0] == "Q" for one in world.records[at]) for at in (0, 1)}
    assert all(here.values())
    first, second = world.worker(ALL[0], park_limit=11), world.worker(ALL[1], park_limit=11)
    assert first.advance(world.next(first)).parked == here[0]
    with pytest.raises(Refused, match="12 events are parked, more than 11"):
        second.advance(world.next(second))


def test_parked_events_are_held_back_by_whoever_reads_their_partition_next(world: World) -> None:
    world.tell(PremiumAgreed(policy_no="Q-1", premium=Decimal(3)))
    first = world.worker(*ALL)
    assert first.advance(world.next(first)).parked == 1
    world.tell(PolicyIssued(policy_no="Q-1", broker="B", premium=Decimal(1)))
    second = world.worker(*ALL)
    assert second.advance(world.next(second)).parked == 1, "behind the first"
    assert len(replay_parked(TALLY, CATALOGUE, world.store, world.clock).waiting) == 2
    assert world.store.parked_count("policy_tally", 1) == 2


def test_one_that_waits_is_told_although_the_other_does_not(world: World) -> None:
    first, second = world.worker(ALL[0]), world.worker(ALL[1])
    gap = world.next(first)[1:]
    first.advance(gap)
    second.advance(world.next(second))
    state = world.store.versions("policy_tally")[0]
    assert (state.state, state.detail.partition(" has not")[0]) == ("waiting", f"event 1 of {TOPIC}[0]")
    first.advance(world.next(first, 0) + [_again(one, at) for at, one in enumerate(world.records[0])])
    world.clock()
    second.tell_standing()
    assert world.store.versions("policy_tally")[0].state == "building"


def _again(record: Record, at: int) -> Delivery:
    return Delivery(at=Coordinates(topic=TOPIC, partition=0, offset=100 + at), content=record)


def test_a_version_is_built_when_all_partitions_are_whoever_reads_them(world: World) -> None:
    first, second = world.worker(ALL[0]), world.worker(ALL[1])
    for keeper, at in ((first, 0), (second, 1)):
        keeper.advance(world.next(keeper))
        mark = Watermark(as_of=START, sequence=len(world.records[at]))
        offset = len(world.records[at])
        keeper.advance([Delivery(at=Coordinates(topic=TOPIC, partition=at, offset=offset), content=mark)])
        state = world.store.versions("policy_tally")[0]
        assert state.state == ("running" if at else "building")
        assert state.projected_at is not None
    assert {one.as_of for one in world.store.checkpoints("policy_tally", 1)} == {START}


def test_who_failed_has_the_word_until_another_claims_what_it_left(world: World) -> None:
    first, second = world.worker(ALL[0]), world.worker(ALL[1])
    first.failed(ValueError("no"))
    second.advance(world.next(second))
    assert world.store.versions("policy_tally")[0].state == "failed"
    second.claim([ALL[0]])
    world.clock()
    second.advance(world.next(second))
    assert world.store.versions("policy_tally")[0].state == "building"


def test_who_failed_has_the_word_although_another_claims_something_else(world: World) -> None:
    first, second = world.worker(ALL[0]), world.worker()
    first.failed(ValueError("no"))
    second.claim([ALL[1]])
    second.advance(world.next(second))
    assert world.store.versions("policy_tally")[0].state == "failed"


def test_who_fails_while_another_looks_how_all_are_has_the_word(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = world.worker(ALL[0]), world.worker(ALL[1])
    awaited = world.store.awaited

    def fails_meanwhile(name: str, version: int) -> dict[tuple[str, int], int]:
        first.failed(ValueError("no"))
        return awaited(name, version)

    monkeypatch.setattr(world.store, "awaited", fails_meanwhile)
    world.store.set_state("policy_tally", 1, "waiting", "", epoch=second.epoch or 0, now=world.clock())
    second.advance(world.next(second))
    assert world.store.versions("policy_tally")[0].state == "failed"


def test_who_fails_again_for_the_same_reason_has_the_word_again(world: World) -> None:
    first, second = world.worker(ALL[0]), world.worker(ALL[1])
    for _ in range(2):
        first.claim([ALL[0]])
        first.failed(ValueError("no"))
        second.claim(ALL)
        world.tell(*(PremiumAgreed(policy_no=f"P-{at}", premium=Decimal(3)) for at in range(6)))
        world.clock()
        assert world.store.versions("policy_tally")[0].state == "failed"
        second.advance(world.next(second))
        assert world.store.versions("policy_tally")[0].state == "building"


@pytest.mark.parametrize("off", [-HOUR, HOUR], ids=["behind", "ahead"])
def test_whoever_failed_has_the_word_just_as_long_where_clocks_of_hosts_differ(
    world: World, off: dt.timedelta
) -> None:
    here, there = world.worker(), world.worker(clock=lambda: world.clock() + off)

    def write(worker: Keeper, *places: tuple[str, int]) -> str:
        worker.claim(places)
        world.tell(*(PremiumAgreed(policy_no=f"P-{at}", premium=Decimal(3)) for at in range(6)))
        world.clock()
        worker.advance(world.next(worker))
        return world.store.versions("policy_tally")[0].state

    write(there, *ALL)
    last = world.store.versions("policy_tally")[0].projected_at
    there.give_up([ALL[0]])
    here.claim([ALL[0]])
    here.failed(ValueError("no"))
    state = world.store.versions("policy_tally")[0]
    assert (state.state, state.detail, state.projected_at) == ("failed", "ValueError: no", last)
    assert write(there, ALL[1]) == "failed", "what the failed one read, nobody wrote since"
    assert write(there, *ALL) == "building"


class Process:
    """A worker that may sleep between any two steps, and hears of nothing that others do."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.keeper, self.work = world.worker(), list[Work]()

    def claim(self, place: tuple[str, int]) -> None:
        self.write(place)
        self.keeper.claim([place])

    def give(self, place: tuple[str, int]) -> None:
        self.write(place)
        self.keeper.give_up([place])

    def fold(self, _place: tuple[str, int]) -> None:
        if not self.work:
            self.work.append(self.keeper.fold(self.world.next(self.keeper, 2)))

    def write(self, _place: tuple[str, int]) -> None:
        while self.work:
            work = self.work.pop()
            self.keeper.write(work)
            self.keeper.written(work)

    def seize(self, _place: tuple[str, int]) -> None:
        self.world.store.seize("policy_tally", 1)


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 2),
            st.sampled_from([*["claim"] * 4, *["fold"] * 8, *["write"] * 6, "seize", "give"]),
            st.sampled_from(ALL),
        ),
        min_size=20,
        max_size=80,
    )
)
def test_whoever_claims_folds_sleeps_and_writes_in_any_order_every_event_counts_once(
    steps: list[tuple[int, str, tuple[str, int]]],
) -> None:
    with TemporaryDirectory() as folder:
        store = open_read_store(f"sqlite:///{folder}/read.db")
        metadata.create_all(store.engine)
        world = told(store, rounds=4)
        crew: dict[int, Process] = {}
        for who, what, place in steps:
            process = crew[who] if who in crew else crew.setdefault(who, Process(world))
            try:
                getattr(process, what)(place)
            except Fenced:
                del crew[who]
        last = world.worker(*ALL)
        last.advance(world.next(last))
        assert world.rows() == world.counted()
        store.close()
