"""What a projector remembers and does ahead must not be seen in the rows: any batching, any fault, anybody beside it."""

import datetime as dt
import tempfile
import threading
import tracemalloc
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.read_store.sql import SqlReadStore, open_read_store
from migrations.schema.read_store import metadata
from tests.projections.test_folding import EVENTS, one_by_one, scrambled
from tests.projections.test_project import Crash, Crashing, issue
from tests.support.log import ListArchive, ListLog, as_archive, as_log
from tests.support.read_store import (
    BOOK,
    CATALOGUE,
    POLICY,
    SECOND,
    START,
    TOPIC,
    TOPICS,
    BrokerBook,
    PolicyIssued,
    PolicyView,
    PremiumAgreed,
    Story,
)
from toolkit.core.errors import Fenced, Infrastructure
from toolkit.core.events import Event
from toolkit.core.projections import Definition, Projection
from toolkit.loops import folding
from toolkit.loops.folding import Held
from toolkit.loops.keeping import Advanced, Pace
from toolkit.loops.known import KnownRows, weight
from toolkit.loops.project import Projector
from toolkit.loops.rebuild import Rebuild
from toolkit.loops.replay import replay_parked, reproject
from toolkit.ports import Batch


class SecondBook(BrokerBook, version=2, context="sales", key="broker", name="broker_book"):
    """The same rules."""

    broker: str
    policies: int = 0
    premium: Decimal = Decimal(0)


SECOND_BOOK = SecondBook.definition


def clock() -> dt.datetime:
    return START


def projector(store: Any, log: ListLog, definition: Definition = POLICY, **pace: Any) -> Projector:
    given = {"patience": 0.0, "smallest": 2, "largest": 4, **pace}
    return Projector(definition, CATALOGUE, store, as_log(log), log.topics, clock, Pace(**given))


def run_through(running: Projector) -> list[Advanced]:
    """Run until the log gives no more."""
    stop, told = threading.Event(), list[Advanced]()

    def report(done: Advanced) -> None:
        told.append(done)
        if not done.deliveries:
            stop.set()

    running.run(stop, report=report)
    return told


@pytest.mark.parametrize("definition", [POLICY, BOOK], ids=["carries state", "counts"])
@settings(max_examples=25, deadline=None)
@given(
    events=EVENTS,
    sizes=st.tuples(st.integers(1, 3), st.integers(1, 9)),
    known=st.integers(0, 5),
    restart=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_folded_ahead_with_rows_from_memory_is_the_fold_one_by_one(
    definition: Definition,
    events: list[Event],
    sizes: tuple[int, int],
    known: int,
    restart: bool,
    seed: int,
) -> None:
    story = Story(1)
    records = story.tell(*events)
    expected = one_by_one(definition, records)
    log = ListLog({TOPIC: 1})
    log.kept[TOPIC, 0] = [one.content for one in scrambled(records, seed, 0)]
    pace = {"smallest": sizes[0], "largest": sum(sizes), "known_rows": known}
    with tempfile.TemporaryDirectory() as folder:
        store = open_read_store(f"sqlite:///{folder}/read.db")
        metadata.create_all(store.engine)
        if restart:
            first = projector(store, log, definition, **pace)
            first.start()
            first.advance(3)
        run_through(projector(store, log, definition, **pace))
        rows = {definition.key_in(row): row for row in store.rows(definition, None, 999)}
        parked = [one.record.envelope.id for one in store.parked(definition.name, 1)]
        store.close()
    assert rows == expected.rows
    assert parked == sorted(expected.parked, key=[one.envelope.id for one in records].index)


def test_a_zombie_that_remembers_its_rows_writes_nothing(read_store: SqlReadStore) -> None:
    log, story = ListLog(TOPICS), Story()
    log.put(TOPIC, *issue(story, 6))
    zombie = projector(read_store, log, BOOK)
    zombie.start()
    zombie.advance(4)
    new = projector(read_store, log, BOOK)
    run_through(new)
    with pytest.raises(Fenced):
        zombie.advance(4)
    with pytest.raises(Fenced):
        zombie.start()
    assert read_store.load(BOOK, ["B-1"])["B-1"]["policies"] == 6


def test_who_owned_a_version_that_was_dropped_does_not_own_the_one_that_was_made_in_its_place(
    read_store: SqlReadStore,
) -> None:
    log = ListLog(TOPICS)
    log.put(TOPIC, *issue(Story(), 6))
    read_store.create(BOOK, TOPICS, START)
    Projector(SECOND_BOOK, CATALOGUE, read_store, as_log(log), TOPICS, clock).start()
    zombie = projector(read_store, log, SECOND_BOOK)
    zombie.start()
    zombie.advance(4)
    read_store.drop("broker_book", 2)
    read_store.create(SECOND_BOOK, TOPICS, START + SECOND)
    for _ in range(2):
        read_store.seize("broker_book", 2)
    with pytest.raises(Fenced):
        zombie.advance(4)
    assert read_store.rows(SECOND_BOOK, None, 9) == []


def test_what_a_repair_changed_is_seen_by_the_projector_that_goes_on(read_store: SqlReadStore) -> None:
    log, story = ListLog(TOPICS), Story()
    log.put(TOPIC, *story.tell(PolicyIssued(policy_no="P-1", broker="B", premium=Decimal(1))))
    running = projector(read_store, log)
    running.start()
    running.advance()
    assert running.epoch is not None
    drifted = {**read_store.load(POLICY, ["P-1"])["P-1"], "changes": 77}
    read_store.commit(POLICY, Batch(upserts=[drifted]), epoch=running.epoch, now=START)
    reproject(POLICY, CATALOGUE, read_store, as_archive(ListArchive(TOPIC, story.records)), "P-1", clock)
    log.put(TOPIC, *story.tell(PremiumAgreed(policy_no="P-1", premium=Decimal(2))))
    with pytest.raises(Fenced):
        running.advance()
    run_through(projector(read_store, log))
    assert read_store.load(POLICY, ["P-1"])["P-1"]["changes"] == 2


def test_what_a_replay_released_is_not_held_by_the_projector_that_goes_on(read_store: SqlReadStore) -> None:
    log, story = ListLog(TOPICS), Story()
    log.put(TOPIC, *story.tell(PremiumAgreed(policy_no="P-1", premium=Decimal(2))))
    running = projector(read_store, log)
    running.start()
    running.advance()
    made = POLICY.apply(
        None, PolicyIssued(policy_no="P-1", broker="B", premium=Decimal(1)), story.records[0].envelope
    )
    assert made is not None
    assert running.epoch is not None
    read_store.commit(POLICY, Batch(upserts=[made]), epoch=running.epoch, now=START)
    assert replay_parked(POLICY, CATALOGUE, read_store, clock).applied == 1
    log.put(TOPIC, *story.tell(PremiumAgreed(policy_no="P-1", premium=Decimal(3))))
    run_through(projector(read_store, log))
    assert read_store.load(POLICY, ["P-1"])["P-1"]["premium"] == Decimal(3)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_a_crash_while_one_batch_is_written_and_the_next_is_folded_is_harmless(
    read_store: SqlReadStore, at: int, after: bool
) -> None:
    log, story = ListLog(TOPICS), Story()
    log.put(TOPIC, *issue(story, 20))
    with pytest.raises(Crash):
        run_through(projector(Crashing(read_store, "commit", at, after=after), log, BOOK))
    run_through(projector(read_store, log, BOOK))
    assert read_store.load(BOOK, ["B-1"])["B-1"]["policies"] == 20


def test_nothing_is_written_after_a_batch_that_could_not_be(read_store: SqlReadStore) -> None:
    log, story = ListLog(TOPICS), Story()
    log.put(TOPIC, *issue(story, 20))
    store: Any = Crashing(read_store, "", 0, after=True)
    failures, given = [2], list[int]()

    def commit(definition: Definition, batch: Batch, **named: Any) -> None:
        failures[0] -= 1
        if failures[0] == 0:
            raise Infrastructure("the connection is lost")
        read_store.commit(definition, batch, **named)
        given.append(sum(one.sequence for one in read_store.checkpoints("broker_book", 1)))

    store.commit = commit
    run_through(projector(store, log, BOOK))
    assert given == sorted(given)
    assert given[-1] == 20
    assert read_store.load(BOOK, ["B-1"])["B-1"]["policies"] == 20


def test_a_row_that_somebody_put_there_by_hand_is_the_projectors_own(read_store: SqlReadStore) -> None:
    log, story = ListLog(TOPICS), Story()
    log.put(TOPIC, *issue(story, 3))
    running = projector(read_store, log)
    running.start()
    made = POLICY.apply(
        None, PolicyIssued(policy_no="P-1", broker="?", premium=Decimal(99)), story.records[0].envelope
    )
    assert made is not None
    assert running.epoch is not None
    read_store.commit(POLICY, Batch(upserts=[made]), epoch=running.epoch, now=START)
    while running.advance().deliveries:
        pass
    assert [row["premium"] for row in read_store.rows(POLICY, None, 9)] == [Decimal("1.10")] * 3


def test_large_events_come_in_smaller_batches(read_store: SqlReadStore) -> None:
    log, story = ListLog(TOPICS), Story()
    log.put(TOPIC, *issue(story, 40, broker="B" * 500))
    told = run_through(projector(read_store, log, BOOK, smallest=2, largest=20, most_bytes=2_500))
    assert max(one.deliveries for one in told) == 4, "two and four; the next ones hold no more than four"


def test_a_rebuild_writes_a_row_once_however_many_events_change_it(read_store: SqlReadStore) -> None:
    story = Story()
    issue(story, 30)
    written: list[Batch] = []
    store: Any = Crashing(read_store, "", 0, after=True)

    def commit(definition: Definition, batch: Batch, **named: Any) -> None:
        written.append(batch)
        read_store.commit(definition, batch, **named)

    store.commit = commit
    archive, log = ListArchive(TOPIC, story.records), ListLog(TOPICS)
    log.put(TOPIC, *story.records)
    log.mark(TOPIC, START + SECOND)
    done = Rebuild(
        BOOK, CATALOGUE, store, as_archive(archive), as_log(log), TOPICS, clock, batch=4, patience=0 * SECOND
    ).run()
    assert (done.complete, read_store.load(BOOK, ["B-1"])["B-1"]["policies"]) == (True, 30)
    assert sum(len(one.upserts) + len(one.inserts) for one in written) == 1


# --- known rows


def test_a_key_is_looked_for_unless_the_table_was_empty_and_never_had_it() -> None:
    some, whole = KnownRows(), KnownRows(whole=True)
    for known in (some, whole):
        known.learn({"a": {"n": 1}, "b": None})
    assert some.lacking(["a", "b", "c"]) == ["c"]
    assert whole.lacking(["a", "b", "c"]) == []


def test_a_row_that_was_let_go_is_looked_for_again() -> None:
    known = KnownRows(whole=True)
    known.learn({number: {"n": number} for number in range(50)})
    known.keep(10)
    assert len(known.rows) == 10
    assert known.lacking(range(50)) == list(range(40))
    assert known.lacking([1_000, 1_001]) == [], "these were never there"


def test_a_row_that_is_not_committed_is_not_let_go() -> None:
    known = KnownRows()
    known.learn({"old": {"n": 1}, "new": {"n": 2}})
    known.keep(0, {"old": None})
    assert list(known.rows) == ["old"]


@pytest.mark.parametrize("whole", [PolicyView, BrokerBook], ids=["a few columns", "two columns"])
def test_rows_in_memory_take_what_they_are_said_to_take(whole: type[Projection]) -> None:
    definition = whole.definition

    def folded() -> KnownRows:
        events = [
            PolicyIssued(policy_no=f"P-{at}", broker=f"B-{at}", premium=Decimal(at)) for at in range(2000)
        ]
        steps = folding.read(definition, CATALOGUE, [(TOPIC, record) for record in Story(1).tell(*events)])
        known = KnownRows()
        for first in range(0, len(steps), 200):
            known.learn(folding.fold(definition, steps[first : first + 200], {}, Held(), START).changed)
        return known

    folded()  # what is kept once, whatever rows there are
    tracemalloc.start()
    try:
        known = folded()
        real, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    said = sum(weight(row) for row in known.rows.values() if row)
    assert 0.7 < said / real < 1.3


def test_large_rows_are_kept_in_smaller_number(read_store: SqlReadStore) -> None:
    log, story = ListLog(TOPICS), Story()
    log.put(TOPIC, *issue(story, 60))
    small, large = projector(read_store, log, known_bytes=20_000), projector(read_store, log)
    for one in (small, large):
        one.start()
        one.advance(60)
    assert 5 < small.keeper.room < 60 < large.keeper.room
