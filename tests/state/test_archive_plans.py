"""What is asked of the archive costs what is found, however much is archived: also right after it was filled."""

from __future__ import annotations

import pytest

from adapters.state.store import State
from tests.support.plans import asked, most_read, sqlite_steps
from tests.support.state import SECOND, SOURCE, START, draft
from toolkit.loops.relay import lease_name

TOPIC = "insurer.policy_admin"
EVENTS = 6000


@pytest.fixture
def epoch(state: State) -> int:
    return state.leases.acquire(lease_name(SOURCE), "test", 60 * SECOND, START)


@pytest.fixture
def full(state: State, epoch: int) -> State:
    """Many events of one topic, each of a subject of its own; PostgreSQL has no statistics of them yet."""
    given = [draft(number, f"P-{number}", time=START + number * SECOND) for number in range(EVENTS)]
    state.archive.append(SOURCE, TOPIC, given, partitions=4, epoch=epoch, doubtful=False)
    return state


def small(state: State, statement: str, given: object) -> bool:
    """Does it go through fewer events than there are, by far?"""
    if state.engine.dialect.name == "sqlite":
        steps = [one for one in sqlite_steps(state.engine, statement, given) if "strangler_event" in one]
        return bool(steps) and all("subject_hash" in one or "time" in one for one in steps)
    return most_read(state.engine, statement, given) < EVENTS // 10


def test_whether_a_chunk_is_archived_already_is_found_by_its_subjects(full: State, epoch: int) -> None:
    """Else each chunk of a backfill reads all that were archived before it, and a large estate never ends."""
    again = [draft(number, f"P-{number}") for number in range(EVENTS - 100, EVENTS + 100)]

    def append() -> None:
        assert len(full.archive.append(SOURCE, TOPIC, again, partitions=4, epoch=epoch)) == 100

    found = asked(full.engine, "strangler_event", append)
    assert found
    assert all(small(full, *one) for one in found), found


def test_a_subjects_events_are_found_by_its_index(full: State) -> None:
    found = asked(full.engine, "strangler_event", lambda: full.archive.of_subject(TOPIC, "P-77"))
    assert len(found) == 1
    assert small(full, *found[0]), found


def test_what_was_touched_lately_is_found_by_its_time(full: State) -> None:
    lately = START + (EVENTS - 50) * SECOND
    found = asked(full.engine, "strangler_event", lambda: full.archive.touched(TOPIC, lately))
    assert len(found) == 1
    # PostgreSQL's index of times leads to ranges of pages; these few events are in one.
    assert full.engine.dialect.name == "postgresql" or small(full, *found[0]), found
