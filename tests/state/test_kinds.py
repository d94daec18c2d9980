"""The kinds of events in the archive: each event counted once, however often and by whomever it is looked."""

import datetime as dt
import threading

import msgspec
import pytest

from adapters.state.store import State
from tests.support.state import SECOND, SOURCE, START, draft
from toolkit.loops.relay import lease_name

TOPIC = "insurer.policy_admin"


@pytest.fixture
def epoch(state: State) -> int:
    return state.leases.acquire(lease_name(SOURCE), "test", 60 * SECOND, START)


def archive(state: State, epoch: int, numbers: range, *, version: int = 1, meaning: int = 1) -> None:
    given = []
    for number in numbers:
        one = draft(number, f"P-{number % 5}", time=START + number * SECOND)
        envelope = msgspec.structs.replace(one.envelope, version=version, meaning=meaning)
        given.append(msgspec.structs.replace(one, envelope=envelope))
    state.archive.append(SOURCE, TOPIC, given, partitions=3, epoch=epoch)


def counts(state: State) -> dict[tuple[int, int], int]:
    return {(one.version, one.meaning): one.events for one in state.kinds.seen(TOPIC)}


def test_each_kind_is_told_with_its_count_and_its_time(state: State, epoch: int) -> None:
    assert state.kinds.seen(TOPIC) == []
    archive(state, epoch, range(10))
    archive(state, epoch, range(10, 13), version=2)
    archive(state, epoch, range(13, 14), version=2, meaning=2)
    found = state.kinds.seen(TOPIC)
    assert [(one.type, one.version, one.meaning, one.events) for one in found] == [
        ("PolicyIssued", 1, 1, 10),
        ("PolicyIssued", 2, 1, 3),
        ("PolicyIssued", 2, 2, 1),
    ]
    assert (found[0].first_at, found[0].last_at) == (START, START + 9 * SECOND)
    assert found[0].first_at.tzinfo == dt.UTC


def test_looking_again_counts_only_what_came_since(state: State, epoch: int) -> None:
    archive(state, epoch, range(10))
    assert counts(state) == counts(state) == {(1, 1): 10}
    archive(state, epoch, range(10, 25))
    assert counts(state) == {(1, 1): 25}
    archive(state, epoch, range(25, 26), meaning=2)
    assert counts(state) == {(1, 1): 25, (1, 2): 1}


def test_two_that_look_at_once_count_each_event_once(state: State, epoch: int) -> None:
    archive(state, epoch, range(200))
    told: list[dict[tuple[int, int], int]] = []
    workers = [threading.Thread(target=lambda: told.append(counts(state))) for _ in range(4)]
    for one in workers:
        one.start()
    for one in workers:
        one.join()
    assert told == [{(1, 1): 200}] * 4
    assert counts(state) == {(1, 1): 200}


def test_an_example_of_a_kind_is_one_of_its_events(state: State, epoch: int) -> None:
    archive(state, epoch, range(10))
    archive(state, epoch, range(10, 12), version=2)
    (first, second) = state.kinds.seen(TOPIC)
    for kind in (first, second):
        record = state.kinds.example(kind)
        assert record is not None
        assert record.envelope.version == kind.version
