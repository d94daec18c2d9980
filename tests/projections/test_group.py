"""Versions that read together: each keeps its own place, and one that fails, sleeps or stands behind holds nobody up."""

import datetime as dt
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from adapters.read_store.sql import SqlReadStore
from tests.projections.test_project import issue
from tests.projections.test_rebuild import SECOND_VIEW
from tests.support.log import ListLog, as_log
from tests.support.read_store import (
    BOOK,
    CATALOGUE,
    POLICY,
    SECOND,
    START,
    TOPIC,
    TOPICS,
    PremiumAgreed,
    Story,
)
from tests.support.waiting import wait_until
from toolkit.core.errors import ExitCode, Fenced, Infrastructure, NotAll, Refused, UsageError
from toolkit.core.projections import Definition
from toolkit.loops import group
from toolkit.loops.group import Group, Member
from toolkit.loops.keeping import Advanced, Keeper, Pace
from toolkit.loops.once import catch_up
from toolkit.loops.project import Projector
from toolkit.loops.supervise import Loop, Supervisor
from toolkit.loops.together import Together
from toolkit.ports import Batch, VersionState

PACE = Pace(smallest=3, largest=6, patience=0.0)
BOTH = (POLICY, BOOK)


def clock() -> dt.datetime:
    return START


class World:
    """A log, a store whose commits a test may disturb, and a group over it."""

    def __init__(self, store: SqlReadStore) -> None:
        self.store, self.story, self.log = store, Story(), ListLog(TOPICS)
        self.left: dict[str, Exception | None] = {}
        self.disturb: Callable[[Definition, Batch], None] = lambda _definition, _batch: None
        self.polls = 0
        self._commit = store.commit
        store.commit = self._disturbed  # type: ignore[method-assign]

    def _disturbed(self, definition: Definition, batch: Batch, **named: Any) -> None:
        self.disturb(definition, batch)
        self._commit(definition, batch, **named)

    def projector(self, definition: Definition, pace: Pace = PACE) -> Projector:
        return Projector(definition, CATALOGUE, self.store, as_log(self.log), TOPICS, clock, pace)

    def run(self) -> None:
        """A group, until the log gives no more."""
        stop = threading.Event()

        def report(done: Advanced) -> None:
            if not done.deliveries:
                stop.set()

        members = []
        for definition in BOTH:
            keeper = Keeper(definition, CATALOGUE, self.store, clock, PACE, topics=TOPICS)
            keeper.take_over()
            members.append(Member(keeper=keeper, stop=stop, report=report))
        coming = iter([members])
        Group(self.counted(), TOPICS, PACE, lambda: next(coming, [])).run()
        self.left = {one.keeper.definition.identity: one.error for one in members}
        assert all(one.left.is_set() for one in members)

    def counted(self) -> Any:
        """The log, which counts what it gives."""
        log: Any = ListLog(TOPICS)
        log.kept, log.first, log.failures = self.log.kept, self.log.first, self.log.failures
        real = log.consumer

        def consumer() -> Any:
            made: Any = real()
            poll = made.poll

            def counted(limit: int, timeout: dt.timedelta) -> Any:
                found = poll(limit, timeout)
                self.polls += len(found)
                return found

            made.poll = counted
            return made

        log.consumer = consumer
        return log

    def positions(self, definition: Definition) -> int:
        return sum(one.sequence for one in self.store.checkpoints(definition.name, 1))

    @contextmanager
    def supervised(self, pace: Pace = PACE) -> Iterator[Supervisor]:
        """All versions in one process, as the command line runs them."""
        together = Together(lambda: as_log(self.log), TOPICS, pace, apart=0.0)
        stop = threading.Event()

        def loops() -> dict[str, Loop]:
            return {one.identity: partial(self._seated, together, one, pace) for one in BOTH}

        supervisor = Supervisor(loops, look_every=0.02, after_fenced=0.0)
        running = threading.Thread(target=supervisor.run, args=(stop,))
        running.start()
        yield supervisor
        stop.set()
        running.join(30)
        assert not running.is_alive()

    def _seated(self, together: Together, definition: Definition, pace: Pace, stop: threading.Event) -> None:
        seat = together.seat(self.projector(definition, pace))
        seat.start()
        seat.run(stop)


@pytest.fixture
def world(read_store: SqlReadStore) -> World:
    made = World(read_store)
    made.log.put(TOPIC, *issue(made.story, 20))
    return made


def policies(store: SqlReadStore) -> object:
    return store.load(BOOK, ["B-1"])["B-1"]["policies"]


def test_the_log_is_read_once_for_all_and_each_has_its_own_rows_and_place(world: World) -> None:
    world.log.mark(TOPIC, START + SECOND)
    world.run()
    assert world.polls == 22
    assert (policies(world.store), len(world.store.rows(POLICY, None, 99))) == (20, 20)
    for definition in BOTH:
        assert {one.as_of for one in world.store.checkpoints(definition.name, 1)} == {START + SECOND}
        assert world.positions(definition) == 20


def test_who_stood_elsewhere_applies_nothing_twice_in_the_group(world: World) -> None:
    ahead = world.projector(BOOK)
    ahead.start()
    ahead.advance(9)
    ahead.close()
    world.run()
    assert (policies(world.store), len(world.store.rows(POLICY, None, 99))) == (20, 20)


def test_one_that_fails_leaves_and_the_other_goes_on(world: World) -> None:
    failures = iter([False, True])

    def disturb(definition: Definition, _batch: Batch) -> None:
        if definition is BOOK and next(failures, False):
            raise Infrastructure("the connection is lost")

    world.disturb = disturb
    world.run()
    assert isinstance(world.left[BOOK.identity], Infrastructure)
    assert world.positions(POLICY) == 20
    assert world.positions(BOOK) < 20
    alone = world.projector(BOOK)
    alone.start()
    while alone.advance().deliveries:
        pass
    assert policies(world.store) == 20


def test_one_that_was_taken_over_leaves(world: World) -> None:
    taken = iter([False, True])

    def disturb(definition: Definition, _batch: Batch) -> None:
        if definition is BOOK and next(taken, False):
            world.store.seize("broker_book", 1)

    world.disturb = disturb
    world.run()
    assert isinstance(world.left[BOOK.identity], Fenced)
    assert (world.positions(POLICY), world.positions(BOOK)) == (20, 3)


def test_one_that_hangs_is_left_behind_and_writes_nothing_once_it_goes_on_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group, "WAIT", 1.0)  # the one that does not hang may be slow, on a busy machine
    awake, hung = threading.Event(), threading.Event()

    def disturb(definition: Definition, _batch: Batch) -> None:
        if definition is BOOK and not hung.is_set():
            hung.set()
            awake.wait(30)

    world.disturb = disturb
    running = threading.Thread(target=world.run)
    running.start()
    wait_until(lambda: world.positions(POLICY) == 20 if hung.is_set() else False, 20, what="the other one")
    alone = world.projector(BOOK)
    alone.start()
    while alone.advance().deliveries:
        pass
    awake.set()
    running.join()
    assert isinstance(world.left[BOOK.identity], TimeoutError)
    assert policies(world.store) == 20


def test_one_that_stands_far_behind_catches_up_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group, "NEAR", 5)
    ahead = world.projector(POLICY)
    ahead.start()
    ahead.advance(9)
    ahead.close()
    world.run()
    assert (world.positions(POLICY), world.positions(BOOK), world.polls) == (20, 0, 11)


def test_an_outage_of_the_log_is_waited_for(world: World) -> None:
    world.log.failures = [Infrastructure("no broker")]
    world.run()
    assert (policies(world.store), world.positions(POLICY)) == (20, 20)


def test_who_left_catches_up_alone_and_comes_back(world: World) -> None:
    lost = iter([False, True])

    def disturb(definition: Definition, _batch: Batch) -> None:
        if definition is BOOK and next(lost, False):
            raise Infrastructure("the connection is lost")

    world.disturb = disturb
    with world.supervised() as supervisor:
        wait_until(lambda: world.positions(BOOK) == world.positions(POLICY) == 20, 30, what="all")
        world.log.put(TOPIC, *issue(world.story, 5))
        wait_until(lambda: world.positions(BOOK) == world.positions(POLICY) == 25, 30, what="the rest")
    assert (supervisor.failures, policies(world.store)) == ({}, 25)


def test_what_was_taken_over_is_begun_again(world: World) -> None:
    with world.supervised() as supervisor:
        wait_until(lambda: world.positions(BOOK) == 20, 30, what="all")
        world.store.seize("broker_book", 1)
        world.log.put(TOPIC, *issue(world.story, 5))
        wait_until(lambda: world.positions(BOOK) == world.positions(POLICY) == 25, 30, what="the rest")
    assert (supervisor.failures, policies(world.store)) == ({}, 25)


def test_one_that_has_too_much_parked_fails_alone(world: World) -> None:
    bad = (PremiumAgreed(policy_no=f"X-{number}", premium=Decimal(1)) for number in range(4))
    world.log.put(TOPIC, *world.story.tell(*bad))
    with world.supervised(Pace(smallest=3, largest=6, patience=0.0, park_limit=1)) as supervisor:
        wait_until(lambda: POLICY.identity in supervisor.failures, 30, what="its failure")
        wait_until(lambda: world.positions(BOOK) == 24, 30, what="the other one")
    assert list(supervisor.failures) == [POLICY.identity]
    assert next(one.state for one in world.store.versions("policy_view")) == "failed"


def test_all_are_brought_up_to_date_once_by_one_reading_of_the_log(world: World) -> None:
    projectors = [world.projector(one) for one in BOTH]
    done = catch_up(projectors, world.counted(), TOPICS, PACE)
    assert {name: one.applied for name, one in done.items()} == {one.identity: 20 for one in BOTH}
    assert [world.positions(one) for one in BOTH] == [20, 20]
    assert world.polls == 20


def test_once_one_that_fails_is_told_after_the_others_are_through(world: World) -> None:
    def fail(definition: Definition, _batch: Batch) -> None:
        if definition is POLICY:
            raise Infrastructure("no space")

    world.disturb = fail
    with pytest.raises(Infrastructure, match="no space"):
        catch_up([world.projector(one) for one in BOTH], as_log(world.log), TOPICS, PACE)
    assert [world.positions(one) for one in BOTH] == [0, 20]


def test_once_those_behind_one_that_fails_are_brought_up_to_date_each_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group, "NEAR", 5)
    ahead = world.projector(SECOND_VIEW)
    ahead.start()
    while ahead.advance(9).deliveries:
        pass
    ahead.close()

    def fail(definition: Definition, _batch: Batch) -> None:
        if definition is POLICY:
            raise Infrastructure("no space")

    world.disturb = fail
    with pytest.raises(Infrastructure, match=r"^no space$"):
        catch_up(
            [world.projector(one) for one in (POLICY, SECOND_VIEW, BOOK)], as_log(world.log), TOPICS, PACE
        )
    assert [world.positions(one) for one in (POLICY, BOOK)] == [0, 20]


def test_once_one_that_cannot_even_begin_keeps_nobody_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = world.store.create

    def refused(definition: Definition, *given: Any, **named: Any) -> VersionState:
        if definition is POLICY:
            raise UsageError("built with other columns")
        return create(definition, *given, **named)

    monkeypatch.setattr(world.store, "create", refused)
    with pytest.raises(UsageError, match=r"^built with other columns$"):
        catch_up([world.projector(one) for one in BOTH], as_log(world.log), TOPICS, PACE)
    assert world.positions(BOOK) == 20


@pytest.mark.parametrize(
    ("error", "code"),
    [(Infrastructure("no space"), ExitCode.INFRASTRUCTURE), (Refused("too many"), ExitCode.FINDINGS)],
)
def test_once_all_that_was_wrong_is_told(world: World, error: Exception, code: ExitCode) -> None:
    def fail(definition: Definition, _batch: Batch) -> None:
        if definition is POLICY:
            raise Refused("more than 1 parked")
        if definition is BOOK:
            raise error

    world.disturb = fail
    with pytest.raises(NotAll) as told:
        catch_up([world.projector(one) for one in (*BOTH, SECOND_VIEW)], as_log(world.log), TOPICS, PACE)
    assert str(told.value).splitlines() == [
        "2 of 3 versions were not brought up to date",
        "  - policy_view v1: more than 1 parked",
        f"  - broker_book v1: {error}",
    ]
    assert told.value.exit_code == code, "the gravest"
    assert sum(one.sequence for one in world.store.checkpoints("policy_view", 2)) == 20


def test_once_a_log_that_does_not_answer_is_not_waited_for(world: World) -> None:
    world.log.failures = [Infrastructure("no broker")]
    with pytest.raises(Infrastructure, match="no broker"):
        catch_up([world.projector(one) for one in BOTH], as_log(world.log), TOPICS, PACE)
