"""One process follows a version, the others stand by, and a repair borrows it and gives it back."""

import datetime as dt
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal

import pytest

from adapters.read_store.sql import SqlReadStore
from adapters.state.store import State
from tests.support.crew import PolicyViewAnew
from tests.support.log import ListArchive, ListLog, as_archive, as_log
from tests.support.read_store import (
    CATALOGUE,
    POLICY,
    TOPIC,
    TOPICS,
    PolicyIssued,
    Story,
)
from tests.support.state import state, state_url
from tests.support.waiting import wait_until
from toolkit.core.errors import LeaseHeld
from toolkit.loops.following import Following, borrowed, drop
from toolkit.loops.project import Pace, Projector
from toolkit.loops.replay import reproject
from toolkit.loops.wanted import Wanted

__all__ = ["state", "state_url"]


def clock() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class Fleet:
    """Processes that would follow the same version, as threads."""

    def __init__(self, store: SqlReadStore, state: State) -> None:
        self.store, self.state, self.story = store, state, Story()
        self.log, self.archive = ListLog(TOPICS), ListArchive(TOPIC)
        self.seizures: list[str] = []
        self.ended = set[str]()
        self.failures: list[Exception] = []

    def happen(self, count: int) -> None:
        events = [PolicyIssued(policy_no=f"P-{at}", premium=Decimal(at), broker="B") for at in range(count)]
        records = self.story.tell(*events)
        self.log.put(TOPIC, *records)
        self.archive.records += records

    @contextmanager
    def process(self, owner: str) -> Iterator[threading.Event]:
        stop = threading.Event()

        def make() -> Projector:
            self.seizures.append(owner)
            pace = Pace(patience=0.0)
            return Projector(POLICY, CATALOGUE, self.store, as_log(self.log), TOPICS, clock, pace)

        def left() -> bool:
            return Wanted({"policy_view": {1: POLICY}}, self.store, self.state.serving, owner, clock).left(
                POLICY
            )

        following = Following(POLICY, make, self.state.leases, owner, clock, look_every=0.01, left=left)

        def run() -> None:
            try:
                following.run(stop)
            except Exception as error:  # noqa: BLE001 - looked at by the test
                self.failures.append(error)
            finally:
                self.ended.add(owner)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield stop
        finally:
            stop.set()
            thread.join(30)
            assert not thread.is_alive()

    def epoch(self) -> int:
        return next((one.epoch for one in self.store.versions("policy_view")), 0)

    def applied(self, count: int) -> Callable[[], bool]:
        return lambda: self.epoch() > 0 and len(self.store.rows(POLICY, None, 99)) == count


@pytest.fixture
def fleet(read_store: SqlReadStore, state: State) -> Fleet:
    return Fleet(read_store, state)


def test_the_second_stands_by_and_takes_over_when_the_first_is_gone(fleet: Fleet) -> None:
    fleet.happen(2)
    with fleet.process("first:1") as first:
        wait_until(fleet.applied(2))
        epoch = fleet.epoch()
        with fleet.process("second:2"):
            fleet.happen(4)
            wait_until(fleet.applied(4))
            assert (fleet.epoch(), fleet.seizures) == (epoch, ["first:1"]), "nobody took it from the first"
            first.set()
            wait_until(lambda: fleet.seizures == ["first:1", "second:2"])
            fleet.happen(6)
            wait_until(fleet.applied(6))


def test_a_repair_borrows_the_version_and_the_follower_goes_on_afterwards(fleet: Fleet) -> None:
    fleet.happen(2)
    with fleet.process("first:1"):
        wait_until(fleet.applied(2))
        with borrowed(fleet.state.leases, POLICY, "repair:9", clock):
            reproject(POLICY, CATALOGUE, fleet.store, as_archive(fleet.archive), "P-1", clock)
            lent = fleet.epoch()
            fleet.happen(4)
            with pytest.raises(LeaseHeld), borrowed(fleet.state.leases, POLICY, "repair:8", clock):
                pass
            wait_until(lambda: len(fleet.seizures) > 1)
            assert fleet.epoch() == lent, "nobody takes it while it is lent"
            assert len(fleet.store.rows(POLICY, None, 99)) == 2
        wait_until(fleet.applied(4))
        assert fleet.epoch() == lent + 1


def test_a_version_that_is_dropped_is_followed_no_more_and_not_made_again(fleet: Fleet) -> None:
    fleet.happen(2)
    fleet.log.mark(TOPIC, clock())
    with fleet.process("first:1"), fleet.process("second:2"):
        wait_until(lambda: [one.state for one in fleet.store.versions("policy_view")] == ["running"])
        fleet.store.create(PolicyViewAnew.definition, TOPICS, clock())
        fleet.store.switch("policy_view", 2)
        fleet.happen(4)
        drop(fleet.store, "policy_view", 1, fleet.state.leases, "cli:3", clock)
        fleet.happen(6)
        wait_until(lambda: fleet.ended == {"first:1", "second:2"}, 6)
    assert [one.version for one in fleet.store.versions("policy_view")] == [2]
    assert fleet.failures == []
