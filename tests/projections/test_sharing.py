"""Threads that follow a version together over a log that divides nothing: by leases, and with whoever takes the version."""

import datetime as dt
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import pytest

from adapters.read_store.sql import SqlReadStore
from adapters.state.lease_list import SqlLeaseList
from adapters.state.store import State, open_state
from migrations.schema.state import metadata
from tests.support.crew import ANEW, PARTITIONS, TALLY, clock, worker
from tests.support.log import ListArchive, ListLog, as_archive, as_log
from tests.support.read_store import CATALOGUE, PolicyIssued, PremiumAgreed, Story
from tests.support.waiting import wait_until
from toolkit.core.errors import OffsetLost, Refused
from toolkit.loops.following import borrowed, drop, lease_name
from toolkit.loops.replay import reproject
from toolkit.loops.worker import Worker

TOPIC = "insurer.policy_admin"
TOPICS = {TOPIC: PARTITIONS}
MINUTE = dt.timedelta(minutes=1)


class Crew:
    """Processes, as threads."""

    def __init__(self, store: SqlReadStore, state: State) -> None:
        self.store, self.state, self.story = store, state, Story(PARTITIONS, TOPIC)
        self.log, self.archive = ListLog(TOPICS), ListArchive(TOPIC)
        self.ended = set[str]()

    def happen(self, rounds: int = 1) -> None:
        for _ in range(rounds):
            events = [PolicyIssued(policy_no=f"P-{at}", premium=Decimal(1), broker="B") for at in range(20)]
            records = self.story.tell(*events)
            self.archive.records += records
            self.log.put(TOPIC, *records)

    @contextmanager
    def process(self, owner: str) -> Iterator[tuple[Worker, threading.Event, list[Exception]]]:
        stop, errors = threading.Event(), list[Exception]()
        known = SqlLeaseList(self.state.engine)
        made = worker(TALLY, self.store, as_log(self.log), TOPIC, self.state.leases, known, owner)

        def run() -> None:
            try:
                made.run(stop)
            except Exception as error:  # noqa: BLE001 - looked at by the test
                errors.append(error)
            finally:
                self.ended.add(owner)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield made, stop, errors
        finally:
            stop.set()
            thread.join(30)
            assert not thread.is_alive()

    def done(self) -> bool:
        there = self.store.checkpoints("policy_tally", 1) if self.store.versions("policy_tally") else []
        return sum(one.sequence for one in there) == len(self.story.records)

    def counts(self) -> set[object]:
        return {row["changes"] for row in self.store.rows(TALLY, None, 100)}

    def epoch(self) -> int:
        return self.store.versions("policy_tally")[0].epoch


@pytest.fixture
def crew(sql_store: SqlReadStore, tmp_path: Path) -> Iterator[Crew]:
    state = open_state(f"sqlite:///{tmp_path}/state.db")
    metadata.create_all(state.engine)
    yield Crew(sql_store, state)
    state.close()


def halves(*workers: Worker) -> bool:
    return [len(one.places) for one in workers] == [PARTITIONS // len(workers)] * len(workers)


def test_one_that_is_told_to_stop_hands_over_at_once(crew: Crew) -> None:
    with crew.process("a:1") as (first, stop, _), crew.process("b:2") as (second, _, _):
        wait_until(lambda: halves(first, second))
        crew.happen()
        wait_until(crew.done)
        stop.set()
        wait_until(lambda: len(second.places) == PARTITIONS)
        crew.happen()
        wait_until(crew.done)
    assert crew.counts() == {2}


def test_a_repair_borrows_the_version_from_all_and_all_go_on_afterwards(crew: Crew) -> None:
    crew.happen()
    with crew.process("a:1") as (first, _, _), crew.process("b:2") as (second, _, _):
        wait_until(lambda: halves(first, second) and crew.done())
        with borrowed(crew.state.leases, TALLY, "repair:9", clock):
            reproject(TALLY, CATALOGUE, crew.store, as_archive(crew.archive), "P-1", clock)
            lent = crew.epoch()
            crew.happen()
            wait_until(lambda: not first.places and not second.places)
            assert crew.epoch() == lent, "nobody takes it while it is lent"
            assert crew.counts() == {1}
        wait_until(lambda: halves(first, second) and crew.done())
        assert crew.epoch() == lent + 1, "they have one epoch in common"
    assert crew.counts() == {2}


def test_a_version_that_is_dropped_while_they_write_it_is_followed_no_more_and_not_made_again(
    crew: Crew,
) -> None:
    crew.happen()
    crew.log.mark(TOPIC, clock())
    with crew.process("a:1") as (first, _, errors), crew.process("b:2") as (second, _, others):
        wait_until(
            lambda: halves(first, second) and crew.store.versions("policy_tally")[0].state == "running"
        )
        crew.store.create(ANEW["policy_tally"], TOPICS, clock())
        crew.store.switch("policy_tally", 2)
        crew.happen(5)
        drop(crew.store, "policy_tally", 1, crew.state.leases, "cli:3", clock)
        crew.happen()
        wait_until(lambda: crew.ended == {"a:1", "b:2"})
    assert [one.version for one in crew.store.versions("policy_tally")] == [2]
    assert (errors, others) == ([], [])


def test_they_wait_for_a_process_that_follows_the_version_alone(crew: Crew) -> None:
    crew.happen()
    epoch = crew.state.leases.acquire(lease_name(TALLY), "old:7", MINUTE, clock())
    with crew.process("a:1") as (first, _, _):
        wait_until(lambda: "old:7" in first.said)
        assert crew.store.versions("policy_tally") == []
        crew.state.leases.release(lease_name(TALLY), epoch, clock())
        wait_until(crew.done)


def test_an_event_about_a_row_of_another_subject_stops_the_version_before_it_is_written(crew: Crew) -> None:
    record = crew.story.tell_raw(
        "PolicyIssued", "P-9", b'{"policy_no":"P-10","premium":"1","broker":"B"}', version=2
    )
    crew.log.put(TOPIC, record)
    with crew.process("a:1") as (_, _, errors):
        wait_until(lambda: errors)
    assert isinstance(errors[0], Refused)
    assert "of the subject 'P-9' is about a row of 'P-10'" in str(errors[0])
    assert "cannot be shared" in crew.store.versions("policy_tally")[0].detail
    assert crew.counts() == set()


def test_a_position_that_the_log_lost_is_told_with_the_way_out(crew: Crew) -> None:
    crew.happen()
    crew.log.forget((TOPIC, 2), 1)
    with crew.process("a:1") as (_, _, errors):
        wait_until(lambda: errors)
    assert isinstance(errors[0], OffsetLost)
    assert "strangler rebuild policy_tally" in crew.store.versions("policy_tally")[0].detail


def test_a_parked_event_holds_its_row_back_while_partitions_change_hands(crew: Crew) -> None:
    crew.log.put(TOPIC, *crew.story.tell(PremiumAgreed(policy_no="Q-1", premium=Decimal(1))))
    with crew.process("a:1") as (first, _, _):
        wait_until(crew.done)
        crew.log.put(TOPIC, *crew.story.tell(PolicyIssued(policy_no="Q-1", premium=Decimal(1), broker="B")))
        with crew.process("b:2") as (second, _, _):
            wait_until(lambda: halves(first, second) and crew.done())
    assert [one.held for one in crew.store.parked("policy_tally", 1)] == [False, True]
    assert crew.counts() == set()
