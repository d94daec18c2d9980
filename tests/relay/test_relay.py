"""The relay's rules: nothing lost (R1), order per subject (R2), honest watermarks (R3), the same ids (R4), one leader."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from adapters.log.kafka import KafkaLog
from adapters.log.sql import SqlLog
from adapters.state.lease_list import SqlLeaseList
from adapters.state.store import State, open_state
from migrations.schema.state import metadata
from tests.support.relaying import Fuse, Killed, Ledger, Stutter, Witness, translating
from tests.support.state import SECOND, START, draft
from tests.support.waiting import wait_until
from toolkit.core.errors import Fenced, Infrastructure, LeaseHeld, Refused
from toolkit.core.records import Record, partition_of
from toolkit.loops.batches import one_by_one
from toolkit.loops.relay import Pace, Relay, RelayPass, Translate
from toolkit.ports import Log, Publisher

PARTITIONS = 3
SUBJECTS = ("P-1", "P-2", "P-3", "P-4", "P-5")


@dataclass
class World:
    """Everything a relay stands between, and what may be asked of it afterwards."""

    state: State
    topic: str = "insurer.policy_admin"
    ledger: Ledger = field(default_factory=Ledger)
    now: dt.datetime = START
    kafka: Log | None = None

    def __post_init__(self) -> None:
        self.log = self.kafka or SqlLog(self.state.engine)
        self.log.create(self.topic, PARTITIONS)
        self.witness = Witness(self.log.publisher(self.topic), self.ledger)

    def relay(
        self,
        *,
        owner: str = "first",
        fuse: Fuse | None = None,
        publisher: Publisher | None = None,
        pace: Pace | None = None,
        monotonic: Callable[[], float] | None = None,
        translate: Translate | None = None,
    ) -> Relay:
        fuse = fuse or Fuse()
        ledger = fuse.guard(self.ledger, "horizon", "mark", "behind")
        archive = fuse.guard(self.state.archive, "append", "published", "watermarked")
        return Relay(
            ledger,
            translate or one_by_one(translating(ledger, archive, self.topic, PARTITIONS)),
            archive,
            self.state.leases,
            fuse.guard(publisher or self.witness, "publish", "watermark"),
            topic=self.topic,
            partitions=PARTITIONS,
            owner=owner,
            clock=lambda: self.now,
            pace=pace or Pace(heartbeat=0, batch=7, interval=0),
            monotonic=monotonic or self.elapsed,
            paused=lambda: self.state.pauses.of(self.ledger.name) is not None,
        )

    def let_the_lease_run_out(self) -> None:
        self.now += 3600 * SECOND

    def elapsed(self) -> float:
        return (self.now - START).total_seconds()

    def busy(self, transactions: int) -> None:
        """Business goes on: transactions over the same few subjects."""
        for number in range(transactions):
            self.ledger.commit(SUBJECTS[number % 5], SUBJECTS[(number * 3) % 5])

    def delivered(self) -> list[Record]:
        """All that the log holds, as a consumer gets it."""
        consumer = self.log.consumer()
        left = {partition: end for partition, (_, end) in self.log.bounds(self.topic).items() if end}
        consumer.assign({(self.topic, partition): 0 for partition in range(PARTITIONS)})
        found: list[Record] = []
        while left and (batch := consumer.poll(100, dt.timedelta(seconds=20))):
            found.extend(one.content for one in batch if isinstance(one.content, Record))
            for one in batch:
                if one.at.offset + 1 >= left.get(one.at.partition, 0):
                    left.pop(one.at.partition, None)
        consumer.close()
        assert not left
        return found

    def applied(self) -> list[Record]:
        """What a consumer applies that takes exactly the next sequence; a gap on the way is an error."""
        last: dict[int, int] = dict.fromkeys(range(PARTITIONS), 0)
        taken = []
        for record in self.delivered():
            assert record.sequence <= last[record.partition] + 1, "a gap in the log"
            if record.sequence == last[record.partition] + 1:
                last[record.partition] += 1
                taken.append(record)
        return taken

    def assert_all_arrived_in_order(self) -> None:
        """Every committed change is in the log, once in effect, and each subject's in its order."""
        found = self.applied()
        for subject in {one.subject for one in self.ledger.committed}:
            wanted = sorted(one.number for one in self.ledger.committed if one.subject == subject)
            came = [
                int(record.envelope.transaction or 0)
                for record in found
                if record.envelope.subject == subject
            ]
            assert came == wanted
        assert self.ledger.marked == {one.number for one in self.ledger.committed}
        assert self.state.archive.backlog(self.topic) == 0
        coordinates = self.state.archive.scan(self.topic, {}, 10_000)
        assert len(coordinates) == len(found)


@pytest.fixture
def world(state: State) -> World:
    return World(state)


def work(relay: Relay, passes: int = 1) -> list[RelayPass]:
    return [relay.step() for _ in range(passes)]


# --- the plain way


def test_what_was_committed_is_in_the_log_after_one_pass_and_the_pass_says_so(world: World) -> None:
    world.busy(10)
    relay = world.relay()
    relay.lead()
    done = relay.step()
    world.assert_all_arrived_in_order()
    assert done == RelayPass(changes=20, events=20, published=20, watermark=world.ledger.now)


def test_a_late_commit_with_a_low_number_is_found(world: World) -> None:
    world.ledger.commit("P-1", numbers=[10])
    relay = world.relay()
    relay.lead()
    work(relay)
    world.ledger.commit("P-2", numbers=[4])
    work(relay)
    world.assert_all_arrived_in_order()


# --- R1, R4: a crash at any point, and the second run mends it


def crash_and_recover(world: World, blow_at: int) -> Fuse:
    """Two passes of a relay that dies at its n-th crossing, then a successor. The fuse says where it was."""
    fuse = Fuse(blow_at)
    world.busy(5)
    try:
        first = world.relay(fuse=fuse)
        first.lead()
        work(first)
        world.busy(4)
        work(first)
    except Killed:
        pass
    world.busy(2)
    world.let_the_lease_run_out()
    second = world.relay(owner="second")
    second.lead()
    work(second, 2)
    return fuse


def crash_everywhere(state: State, topic: str, kafka: Log | None = None, stride: int = 1) -> set[str]:
    """Crash at every `stride`-th crossing, each in a world of its own. Says where it was."""
    seen: set[str] = set()
    blow_at = 1 - stride
    while True:
        blow_at += stride
        ledger = Ledger(name=f"source-{blow_at}")
        world = World(state, topic=f"{topic}-{blow_at}", ledger=ledger, kafka=kafka)
        fuse = crash_and_recover(world, blow_at)
        world.assert_all_arrived_in_order()
        ids = {record.envelope.id for record in world.delivered()}
        assert ids == {one.draft.envelope.id for one in world.ledger.committed}
        assert world.witness.promised[-1] == world.ledger.now
        world.witness.close()
        if not fuse.where:
            break
        seen.add(fuse.where)
    return seen


def test_a_crash_at_any_step_loses_nothing_doubles_nothing_and_promises_nothing_early(state: State) -> None:
    assert crash_everywhere(state, "crash") == {
        f"{when} {what}"
        for when in ("before", "after")
        for what in (
            "horizon",
            "append",
            "mark",
            "publish",
            "published",
            "behind",
            "watermark",
            "watermarked",
        )
    }


def test_a_crash_at_any_step_is_as_harmless_with_kafka(
    tmp_path: Path, kafka_bootstrap: str, topic_name: str
) -> None:
    state = open_state(f"sqlite:///{tmp_path}/state.db")
    metadata.create_all(state.engine)
    kafka = KafkaLog(kafka_bootstrap)
    assert len(crash_everywhere(state, topic_name, kafka, stride=6)) > 4
    kafka.close()
    state.close()


# --- R2: order under refusals of the log


@pytest.mark.parametrize("written", [False, True], ids=["not written", "written, acknowledgement lost"])
@pytest.mark.parametrize("script", [[0], [1], [2, 0, 1, 3], [1] * 8], ids=str)
def test_a_log_that_stops_acknowledging_disturbs_no_order(
    world: World, script: list[int], written: bool
) -> None:
    world.busy(2)
    stutter = Stutter(world.witness, [], written)
    relay = world.relay(publisher=stutter)
    relay.lead()
    work(relay)  # from here on it publishes what it has just archived
    promised, refused = list(world.witness.promised), 0
    stutter.script = list(script)
    while stutter.script:
        world.busy(10)
        try:
            relay.step()
        except Infrastructure:
            refused += 1
            assert world.witness.promised == promised, "nothing is promised while something waits"
    work(relay)
    world.assert_all_arrived_in_order()
    assert refused


class _Outage:
    """A port whose next call of one method is done, but its answer is lost."""

    def __init__(self, port: Any, method: str) -> None:
        self._port, self._method = port, method
        self.due = False

    def __getattr__(self, name: str) -> Any:
        if name == "capture":
            return self
        found = getattr(self._port, name)
        if name != self._method:
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            answer = found(*args, **kwargs)
            if self.due:
                self.due = False
                raise Infrastructure(f"{name}: the connection is gone")
            return answer

        return call


@pytest.mark.parametrize("method", ["append", "mark"])
def test_what_was_archived_when_the_connection_went_comes_before_what_follows(
    world: World, method: str
) -> None:
    archive = _Outage(world.state.archive, method)
    ledger = _Outage(world.ledger, method)
    relay = world.relay(translate=one_by_one(translating(ledger, archive, world.topic, PARTITIONS)))
    relay.lead()
    world.busy(3)
    relay.step()
    world.busy(3)
    (archive if method == "append" else ledger).due = True
    with pytest.raises(Infrastructure):
        relay.step()
    world.busy(3)
    work(relay, 3)
    world.assert_all_arrived_in_order()


# --- R3: watermarks


def test_nothing_is_promised_while_anything_that_is_archived_waits_to_be_published(world: World) -> None:
    world.ledger.commit("P-1")
    relay = world.relay()
    relay.lead()

    def late() -> bool:
        given = [draft(7, "P-2", time=START)]
        world.state.archive.append(
            world.ledger.name, world.topic, given, partitions=PARTITIONS, epoch=relay.epoch
        )
        return True

    relay._complete = late
    assert relay.step().watermark is None
    relay._complete = lambda: True
    assert relay.step().watermark is not None


def test_an_idle_source_is_fresh_in_every_partition(world: World) -> None:
    relay = world.relay()
    relay.lead()
    for _ in range(3):
        world.ledger.now += SECOND
        assert relay.step().watermark == world.ledger.now
    assert world.witness.promised == [START + number * SECOND for number in (1, 2, 3)]
    assert world.witness.partitions == set(range(PARTITIONS))


def test_a_dead_relay_is_visibly_stale(world: World) -> None:
    relay = world.relay()
    relay.lead()
    work(relay)
    world.ledger.now += 60 * SECOND
    assert world.state.archive.last_watermark(world.topic) == START


def test_a_change_that_waits_for_the_backfill_holds_the_watermark_back(world: World) -> None:
    world.ledger.waiting = {"P-2"}
    world.ledger.commit("P-1", "P-2")
    relay = world.relay()
    relay.lead()
    assert [done.watermark for done in work(relay, 3)] == [None] * 3
    promised_at = world.ledger.now
    world.ledger.now += SECOND
    world.ledger.waiting = set()
    assert relay.step().watermark == promised_at


def test_under_load_without_end_the_watermark_advances_all_the_same(world: World) -> None:
    relay = world.relay(pace=Pace(heartbeat=0, batch=2, rounds=1))
    relay.lead()
    world.busy(5)
    promised = []
    for _ in range(40):
        world.ledger.commit("P-1", "P-2")  # as much as one pass can take: there is always a rest
        promised.append(relay.step().watermark)
    assert len([instant for instant in promised if instant]) >= 5
    assert len(world.ledger.pending(100)) >= 8


def test_the_horizon_is_taken_before_anything_is_read(world: World) -> None:
    """A commit that lands in the middle of a pass is not promised by that pass."""
    world.ledger.commit("P-1")
    taken_at = world.ledger.now
    relay = world.relay()
    relay.lead()
    publish = world.witness.publish

    def commit_meanwhile(records: Any) -> Any:
        world.ledger.commit("P-2")
        world.witness.publish = publish  # type: ignore[method-assign]
        return publish(records)

    world.witness.publish = commit_meanwhile  # type: ignore[method-assign]
    assert relay.step().watermark == taken_at


# --- fencing


@pytest.fixture
def zombie_of(world: World) -> Callable[[str], None]:
    """A relay that stalls before one call, is replaced meanwhile, and wakes up in the middle of it."""

    def stall(where: str) -> None:
        world.busy(5)
        replaced = threading.Event()

        class Stall(Fuse):
            def cross(self, here: str) -> None:
                if here == where and not replaced.is_set():
                    replaced.set()
                    world.let_the_lease_run_out()
                    world.busy(3)
                    successor = world.relay(owner="successor")
                    successor.lead()
                    work(successor)

        first = world.relay(fuse=Stall())
        first.lead()
        with pytest.raises(Fenced):
            work(first)
        assert replaced.is_set()

    return stall


@pytest.mark.parametrize(
    "where", ["before append", "before publish", "before published", "after publish", "before mark"]
)
def test_a_zombie_changes_nothing_and_what_it_still_publishes_is_a_duplicate_by_its_sequence(
    world: World, zombie_of: Callable[[str], None], where: str
) -> None:
    zombie_of(where)
    world.assert_all_arrived_in_order()
    assert len(world.witness.promised) == 1, "only the successor's"


def test_a_zombie_promises_nothing(world: World, zombie_of: Callable[[str], None]) -> None:
    zombie_of("after behind")
    assert len(world.witness.promised) == 1, "only the successor's"
    world.assert_all_arrived_in_order()


def test_of_two_relays_one_leads_and_the_other_is_told(world: World) -> None:
    world.relay().lead()
    with pytest.raises(LeaseHeld, match="held by first"):
        world.relay(owner="second").lead()


# --- a log that hangs


class Hanging:
    """A log that answers nothing until it is let."""

    def __init__(self, inner: Publisher) -> None:
        self.inner, self.let = inner, threading.Event()
        self.given: list[int] = []

    def publish(self, records: Any) -> Any:
        self.given.append(len(records))
        self.let.wait(30)
        return self.inner.publish(records)

    def watermark(self, marks: Any) -> None:
        self.inner.watermark(marks)

    def close(self) -> None: ...


def test_while_the_log_hangs_no_more_than_two_batches_are_in_memory_and_the_lease_is_kept(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toolkit.loops.publishing._LOOK_UP", 0.01)
    world.busy(50)
    hanging, times = Hanging(world.witness), iter(range(0, 10**9, 100))
    relay = world.relay(publisher=hanging, monotonic=lambda: float(next(times)))
    relay.lead()
    renewed = threading.Event()
    renew = world.state.leases.renew

    def note(*arguments: Any) -> None:
        renew(*arguments)
        if hanging.given:
            renewed.set()

    monkeypatch.setattr(type(world.state.leases), "renew", lambda _, *arguments: note(*arguments))
    working = threading.Thread(target=relay.step)
    working.start()
    assert renewed.wait(30)
    # The first look at the archive gives a page; a batch that was archived beside it waits there.
    assert len(hanging.given) == 1
    assert world.state.archive.backlog(world.topic) <= 2 * 7
    hanging.let.set()
    working.join(60)
    world.assert_all_arrived_in_order()
    relay.resign()


# --- pause and resume


def test_a_paused_relay_does_nothing_and_lets_nobody_else_until_it_is_resumed(world: World) -> None:
    world.busy(5)
    relay = world.relay()
    relay.lead()
    world.state.pauses.pause(world.ledger.name, "Ada", "maintenance", START)
    assert work(relay, 3) == [RelayPass()] * 3
    assert (world.delivered(), world.witness.promised) == ([], [])
    with pytest.raises(LeaseHeld):
        world.relay(owner="second").lead()
    with pytest.raises(Refused, match="paused"):
        relay.drain()
    assert world.state.pauses.resume(world.ledger.name)
    assert not world.state.pauses.resume(world.ledger.name)
    work(relay)
    world.assert_all_arrived_in_order()


def test_a_relay_that_starts_paused_does_not_try_what_is_parked_before_it_is_resumed(world: World) -> None:
    world.state.pauses.pause(world.ledger.name, "ops", "maintenance", START)
    stop, tried = threading.Event(), list[int]()

    def report(_: RelayPass) -> None:
        if world.state.pauses.of(world.ledger.name) is None:
            stop.set()
        else:
            assert tried == []
            world.state.pauses.resume(world.ledger.name)

    relay = world.relay()
    relay.run(stop, first=tried.append, report=report)
    assert tried == [relay.epoch]


def test_a_horizon_from_before_a_pause_is_not_promised_after_it(world: World) -> None:
    """It would be true, and old: the next one says more."""
    world.ledger.waiting = {"P-1"}
    world.ledger.commit("P-1")
    relay = world.relay()
    relay.lead()
    work(relay)
    world.state.pauses.pause(world.ledger.name, "Ada", "maintenance", START)
    work(relay)
    world.state.pauses.resume(world.ledger.name)
    world.ledger.waiting = set()
    world.ledger.commit("P-2")
    assert relay.step().watermark == world.ledger.now


# --- the loop


def test_the_loop_outlives_an_outage_ends_when_told_and_gives_the_lease_back(world: World) -> None:
    world.busy(5)
    stop = threading.Event()
    passes: list[RelayPass] = []

    class Outage(Stutter):
        def publish(self, records: Any) -> Any:
            if self.script:
                self.script.pop()
                raise Infrastructure("the log does not answer")
            return self.inner.publish(records)

    def report(done: RelayPass) -> None:
        passes.append(done)
        stop.set()

    pace = Pace(heartbeat=0, interval=0, longest_pause=0)
    world.relay(publisher=Outage(world.witness, [1, 2]), pace=pace).run(stop, report=report)
    world.assert_all_arrived_in_order()
    assert len(passes) == 1
    world.relay(owner="second").lead()


def test_an_outage_at_the_very_beginning_is_waited_for_too(world: World) -> None:
    world.busy(5)
    stop = threading.Event()
    outages = [Infrastructure("the state database is away"), Infrastructure("so it is still")]

    def first(_epoch: int) -> None:
        if outages:
            raise outages.pop()

    pace = Pace(heartbeat=0, interval=0, longest_pause=0)
    world.relay(pace=pace).run(stop, first=first, report=lambda _: stop.set())
    assert not outages
    world.assert_all_arrived_in_order()
    world.relay(owner="second").lead()


def test_a_relay_that_stands_by_takes_over_when_the_leader_leaves(world: World) -> None:
    first = world.relay()
    first.lead()
    stop = threading.Event()
    second = world.relay(owner="second", pace=Pace(heartbeat=0, interval=0, lease=0.03))
    waiting = threading.Thread(target=lambda: second.run(stop, standby=True, report=lambda _: stop.set()))
    waiting.start()
    first.resign()
    waiting.join(30)
    stop.set()
    assert world.witness.promised


def test_subjects_of_these_tests_do_cover_several_partitions() -> None:
    assert len({partition_of(subject, PARTITIONS) for subject in SUBJECTS}) > 1


def test_a_step_that_takes_long_keeps_its_lease_and_one_that_hangs_does_not(world: World) -> None:
    begun, go_on, ends = threading.Event(), threading.Event(), list[Exception]()
    pace = Pace(heartbeat=0, interval=0, lease=0.06)

    def slow(_epoch: int, _limit: int, _rounds: int) -> Any:
        begun.set()
        go_on.wait(30)
        yield from ()

    relay = world.relay(pace=pace, translate=slow)

    def run() -> None:
        try:
            relay.run(threading.Event())
        except Fenced as error:
            ends.append(error)

    running = threading.Thread(target=run)
    running.start()
    assert begun.wait(30)
    world.now += 10 * SECOND
    wait_until(lambda: SqlLeaseList(world.state.engine).leases()[0].expires_at > world.now)
    second = world.relay(owner="second")
    with pytest.raises(LeaseHeld):
        second.lead()
    world.let_the_lease_run_out()
    assert second.lead() == 2
    go_on.set()
    running.join(30)
    assert len(ends) == 1, "the first was fenced"
