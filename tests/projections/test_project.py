"""The projector over a real read store: where it goes on, what it refuses, what it says, and what a crash leaves."""

import datetime as dt
import threading
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from adapters.read_store.sql import SqlReadStore
from tests.support.log import ListLog, as_log
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
from toolkit.core.errors import Fenced, Infrastructure, OffsetLost, Refused
from toolkit.core.projections import Definition
from toolkit.core.records import Record
from toolkit.loops.project import Pace, Projector
from toolkit.ports import Batch, VersionState

PACE = Pace(smallest=3, largest=6, patience=0.0)


class Ticking:
    """A clock that moves a little with every look."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> dt.datetime:
        self.now += SECOND / 1000
        return self.now


@pytest.fixture
def log() -> ListLog:
    return ListLog(TOPICS)


def projector(store: Any, log: ListLog, definition: Definition = BOOK, pace: Pace = PACE) -> Projector:
    return Projector(definition, CATALOGUE, store, as_log(log), TOPICS, Ticking(), pace)


def issue(story: Story, count: int, broker: str = "B-1") -> list[Record]:
    first = len(story.records)
    return story.tell(
        *(
            PolicyIssued(policy_no=f"P-{first + number}", broker=broker, premium=Decimal("1.10"))
            for number in range(count)
        )
    )


def drain(running: Projector) -> int:
    """Read to the end of the log; returns how many of the events had been applied before."""
    duplicates = 0
    while (done := running.advance(4)).deliveries:
        duplicates += done.duplicates
    return duplicates


def book(store: SqlReadStore) -> dict[str, object]:
    return store.load(BOOK, ["B-1"]).get("B-1", {"policies": 0, "premium": Decimal(0)})


def state(store: SqlReadStore, definition: Definition = BOOK) -> VersionState:
    return next(one for one in store.versions(definition.name) if one.version == definition.version)


def test_a_restart_goes_on_where_the_last_commit_left_it(read_store: SqlReadStore, log: ListLog) -> None:
    story = Story()
    log.put(TOPIC, *issue(story, 10))
    first = projector(read_store, log)
    first.start()
    first.advance(4)
    first.close()
    log.put(TOPIC, *issue(story, 5))
    second = projector(read_store, log)
    second.start()
    assert drain(second) == 0, "it begins at its own position"
    assert (book(read_store)["policies"], book(read_store)["premium"]) == (15, Decimal("16.50"))
    assert sum(one.sequence for one in read_store.checkpoints("broker_book", 1)) == 15


def test_a_zombie_writes_nothing(read_store: SqlReadStore, log: ListLog) -> None:
    log.put(TOPIC, *issue(Story(), 6))
    zombie = projector(read_store, log)
    zombie.start()
    zombie.advance(2)
    new = projector(read_store, log)
    new.start()
    with pytest.raises(Fenced):
        zombie.advance(2)
    drain(new)
    assert book(read_store)["policies"] == 6


def test_a_version_is_running_once_every_partition_has_an_as_of(
    read_store: SqlReadStore, log: ListLog
) -> None:
    story = Story()
    log.put(TOPIC, *issue(story, 4))
    running = projector(read_store, log)
    running.start()
    drain(running)
    assert state(read_store).state == "building"
    log.mark(TOPIC, START + SECOND)
    drain(running)
    assert (state(read_store).state, state(read_store).built_at is not None) == ("running", True)
    assert {one.as_of for one in read_store.checkpoints("broker_book", 1)} == {START + SECOND}


def test_a_gap_stands_still_visibly_and_heals(read_store: SqlReadStore, log: ListLog) -> None:
    story = Story(1)
    one, two, three = issue(story, 3)
    log = ListLog({TOPIC: 1})
    running = Projector(BOOK, CATALOGUE, read_store, as_log(log), {TOPIC: 1}, Ticking(), PACE)
    running.start()
    log.put(TOPIC, one, three)
    log.mark(TOPIC, START + SECOND)
    assert running.advance().missing == {f"{TOPIC}[0]": 2}
    assert (state(read_store).state, book(read_store)["policies"]) == ("waiting", 1)
    assert f"event 2 of {TOPIC}[0]" in state(read_store).detail
    log.put(TOPIC, two, three)
    log.mark(TOPIC, START + 2 * SECOND)
    assert running.advance().missing == {}
    assert (state(read_store).state, state(read_store).detail) == ("running", "")
    assert book(read_store)["policies"] == 3


def test_held_keys_are_still_held_by_the_next_batch_and_after_a_restart(
    read_store: SqlReadStore, log: ListLog
) -> None:
    def agreed(premium: str) -> PremiumAgreed:
        return PremiumAgreed(policy_no="P-0", premium=Decimal(premium))

    story = Story()
    issue(story, 1)
    story.tell(agreed("-1"))
    log.put(TOPIC, *story.records)
    first = projector(read_store, log, POLICY)
    first.start()
    drain(first)
    log.put(TOPIC, *story.tell(agreed("5")))
    drain(first)
    log.put(TOPIC, *story.tell(agreed("6")))
    second = projector(read_store, log, POLICY)
    second.start()
    drain(second)
    assert [(one.key, one.held) for one in read_store.parked("policy_view", 1)] == [
        ("P-0", False),
        ("P-0", True),
        ("P-0", True),
    ]
    assert "not negative" in read_store.parked("policy_view", 1)[0].reason
    assert read_store.load(POLICY, ["P-0"])["P-0"]["premium"] == Decimal("1.10")


def test_too_much_parked_is_a_failure_and_says_so(read_store: SqlReadStore, log: ListLog) -> None:
    story = Story()
    for number in range(5):
        story.tell(PremiumAgreed(policy_no=f"P-{number}", premium=Decimal(1)))
    log.put(TOPIC, *story.records)
    running = projector(read_store, log, POLICY, Pace(patience=0.0, park_limit=3))
    with pytest.raises(Refused, match="strangler repair events policy_view"):
        running.run(threading.Event())
    assert state(read_store, POLICY).state == "failed"
    assert "5 events are parked" in state(read_store, POLICY).detail
    assert read_store.parked("policy_view", 1) == [], "the batch that went too far is not committed"


def test_what_retention_took_is_named_with_the_way_out(read_store: SqlReadStore, log: ListLog) -> None:
    log.put(TOPIC, *issue(Story(), 8))
    log.forget((TOPIC, 0), 2)
    with pytest.raises(OffsetLost, match="rebuild"):
        projector(read_store, log).run(threading.Event())
    assert (state(read_store).state, "rebuild" in state(read_store).detail) == ("failed", True)


def test_the_loop_goes_on_after_an_outage_and_ends_when_told(read_store: SqlReadStore, log: ListLog) -> None:
    log.put(TOPIC, *issue(Story(), 20))
    log.mark(TOPIC, START + SECOND)
    log.failures = [Infrastructure("no broker")]
    stop = threading.Event()
    given: list[int] = []

    def report(done: Any) -> None:
        given.append(done.deliveries)
        if not done.deliveries:
            stop.set()

    projector(read_store, log).run(stop, report=report)
    assert book(read_store)["policies"] == 20
    assert given == [3, 6, 6, 6, 1, 0], "batches grow while there is much, and shrink with what is left"


# --- crashes


class Crash(BaseException):
    """As a kill would: nothing of ours may catch it."""


class Crashing:
    """A read store that dies before or after the n-th call of a method."""

    def __init__(self, store: SqlReadStore, method: str, at: int, *, after: bool) -> None:
        self._store, self._method, self._left, self._after = store, method, at, after

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method: Callable[..., Any] = getattr(self._store, name)
        if name != self._method:
            return method

        def dying(*arguments: Any, **named: Any) -> Any:
            self._left -= 1
            if self._left == 0 and not self._after:
                raise Crash
            result = method(*arguments, **named)
            if self._left == 0:
                raise Crash
            return result

        return dying


CALLS = ["create", "seize", "versions", "checkpoints", "parked", "load", "commit", "set_state"]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("method", CALLS)
def test_a_crash_at_any_call_loses_nothing_and_doubles_nothing(
    read_store: SqlReadStore, log: ListLog, method: str, after: bool
) -> None:
    story = Story()
    log.put(TOPIC, *issue(story, 12))
    log.mark(TOPIC, START + SECOND)
    for at in (1, 2, 3):
        dying = projector(Crashing(read_store, method, at, after=after), log)
        try:
            dying.start()
            drain(dying)
        except Crash:
            pass
    last = projector(read_store, log)
    last.start()
    drain(last)
    assert (book(read_store)["policies"], book(read_store)["premium"]) == (12, Decimal("13.20"))
    assert {one.as_of for one in read_store.checkpoints("broker_book", 1)} == {START + SECOND}


def test_an_outcome_that_is_unknown_is_looked_up(read_store: SqlReadStore, log: ListLog) -> None:
    class Flaky(Crashing):
        """Commits, and then the connection is gone."""

    log.put(TOPIC, *issue(Story(), 9))
    store, stop = Flaky(read_store, "", 0, after=True), threading.Event()
    lost = [2]

    def commit(definition: Definition, batch: Batch, **named: Any) -> None:
        read_store.commit(definition, batch, **named)
        lost[0] -= 1
        if lost[0] == 0:
            raise Infrastructure("connection lost")

    store.commit = commit  # type: ignore[attr-defined]
    projector(store, log).run(stop, report=lambda done: None if done.deliveries else stop.set())
    assert book(read_store)["policies"] == 9
