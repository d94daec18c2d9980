"""A version is verified by replaying its history: what is not deterministic shows, and so does drift."""

import datetime as dt
import itertools
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import pytest

from adapters.read_store.sql import SqlReadStore
from tests.projections import impure
from tests.support.log import ListArchive, ListLog, as_archive, as_log
from tests.support.read_store import (
    BOOK,
    CATALOGUE,
    PARTITIONS,
    POLICY,
    START,
    TOPIC,
    PolicyAnnulled,
    PolicyIssued,
    PremiumAgreed,
    Story,
)
from toolkit.core.errors import NotYet
from toolkit.core.projections import Definition, Projection, on
from toolkit.core.records import Delivery
from toolkit.loops import live
from toolkit.loops.project import Pace, Projector
from toolkit.loops.verify import Verified, code_hash, upcaster_hash, verify
from toolkit.ports import Batch, Digest, Page


def clock() -> dt.datetime:
    return START


class World:
    def __init__(self, store: SqlReadStore, definition: Definition, partitions: int = PARTITIONS) -> None:
        self.store, self.definition, self.story = store, definition, Story(partitions)
        topics = {TOPIC: partitions}
        self.log = ListLog(topics)
        self.projector = Projector(
            definition, CATALOGUE, store, as_log(self.log), topics, clock, Pace(patience=0.0)
        )
        self.projector.start()

    def happen(self, *events: Any) -> None:
        self.log.put(TOPIC, *self.story.tell(*events))
        while self.projector.advance(7).deliveries:
            pass

    def verify(self, definition: Definition | None = None) -> Verified:
        archive = ListArchive(TOPIC)
        archive.records = self.story.records  # those that come meanwhile, too
        return verify(
            definition or self.definition,
            CATALOGUE,
            self.store,
            as_archive(archive),
            clock,
            batches=(50, 3),
        )

    def overwrite(self, row: dict[str, object]) -> None:
        self.commit(upserts=[row])

    def commit(self, **changes: Any) -> None:
        assert self.projector.epoch is not None
        self.store.commit(self.definition, Batch(**changes), epoch=self.projector.epoch, now=START)


def history(count: int = 40) -> list[Any]:
    return [
        *(
            PolicyIssued(policy_no=f"P-{number}", broker=f"B-{number % 3}", premium=Decimal("1.10"))
            for number in range(count)
        ),
        *(PremiumAgreed(policy_no=f"P-{number}", premium=Decimal(number)) for number in range(count)),
    ]


@pytest.mark.parametrize(
    ("definition", "heard"), [(POLICY, 80), (BOOK, 40)], ids=["carries state", "counts one kind of two"]
)
def test_a_deterministic_projection_is_found_to_be_one(
    read_store: SqlReadStore, definition: Definition, heard: int
) -> None:
    world = World(read_store, definition)
    world.happen(*history())
    done = world.verify()
    assert done.findings == ()
    assert (done.record.deterministic, done.events) == (True, heard)
    assert done.record.digest == read_store.digest(definition).digest
    assert sum(done.record.positions.values()) == 80
    assert set(done.record.positions) == {f"{TOPIC}/0", f"{TOPIC}/1"}
    assert f"{heard} events replayed twice" in done.record.detail


@pytest.mark.parametrize("any_store_url", ["sqlite"], indirect=True)
def test_its_history_is_read_in_large_pages_however_small_the_batches_are(
    read_store: SqlReadStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, scans = World(read_store, POLICY), 0
    world.happen(*history())
    scan = ListArchive.scan

    def counted(self: ListArchive, topic: str, after: Mapping[int, int], *rest: Any) -> list[Delivery]:
        nonlocal scans
        scans += 1
        return scan(self, topic, after, *rest)

    monkeypatch.setattr(ListArchive, "scan", counted)
    assert world.verify().events == 80
    assert scans == 2 * PARTITIONS


def test_events_that_came_after_the_live_tables_position_do_not_count(read_store: SqlReadStore) -> None:
    world = World(read_store, POLICY)
    world.happen(*history(5))
    world.story.tell(*history(6)[5:6])
    assert world.verify().record.deterministic


def test_drift_of_the_live_table_is_shown_with_both_values(read_store: SqlReadStore) -> None:
    world = World(read_store, BOOK)
    world.happen(*history(6))
    world.overwrite({"broker": "B-1", "policies": 77, "premium": Decimal("2.20")})
    done = world.verify()
    assert done.findings == (
        "the live table: broker 'B-1': policies is 77, and its events give 2 (strangler repair key broker_book B-1)",
    )
    told = done.record
    assert (told.deterministic, told.drifted, told.holds) == (True, True, False), "both replays agree"
    assert told.detail.startswith("drifted: the live table: broker 'B-1'")
    assert told.detail.endswith("give the same 3 rows: the live table is another)")


@pytest.mark.parametrize("any_store_url", ["sqlite"], indirect=True)
def test_drift_is_named_also_while_the_projector_goes_on(
    read_store: SqlReadStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(read_store, BOOK)
    world.happen(*history(6))
    world.overwrite({"broker": "B-1", "policies": 77, "premium": Decimal("2.20")})
    digest = read_store.digest

    def marked_after(definition: Definition) -> Digest:
        seen = digest(definition)
        world.log.mark(TOPIC, START)
        world.projector.advance(7)
        return seen

    def grown_after(definition: Definition) -> Digest:
        seen = digest(definition)
        world.log.put(TOPIC, *world.story.tell(*history(8)[6:7]))
        while world.projector.advance(7).deliveries:
            pass
        return seen

    monkeypatch.setattr(read_store, "digest", marked_after)
    [named] = world.verify().findings
    assert (
        named
        == "the live table: broker 'B-1': policies is 77, and its events give 2 (strangler repair key broker_book B-1)"
    )
    monkeypatch.setattr(read_store, "digest", grown_after)
    [named] = world.verify().findings
    assert "'B-1': policies is 77, and its events give 2" in named
    assert len(read_store.rows(BOOK, None, 9)) == 3


def meanwhile(store: SqlReadStore, monkeypatch: pytest.MonkeyPatch, happens: Callable[[int], None]) -> None:
    """Let something happen before each page of the live table is read; pages have three rows."""
    page, pages = store.page, itertools.count()

    def later(definition: Definition, after: object | None, limit: int) -> Page:
        happens(next(pages))
        return page(definition, after, limit)

    monkeypatch.setattr(store, "page", later)
    monkeypatch.setattr(live, "PAGE", 3)


def test_rows_that_come_go_and_change_between_two_pages_are_no_drift(
    read_store: SqlReadStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(read_store, POLICY)
    world.happen(*history(9))
    load = read_store.load(POLICY, ["P-2"])["P-2"]
    by_hand = [{**load, "policy_no": "P-55"}, {**load, "premium": Decimal("2.00")}]
    world.commit(upserts=by_hand, deletes=["P-7"])

    def happens(number: int) -> None:
        new = PolicyIssued(policy_no=f"P-{2 * number}5", broker="B-1", premium=Decimal(3))
        gone = PolicyAnnulled(policy_no=f"P-{number + 3}")
        parked = PremiumAgreed(policy_no=f"P-{2 * number}5", premium=Decimal(-1))
        world.happen(
            new, gone, parked, *(PremiumAgreed(policy_no="P-0", premium=Decimal(n)) for n in range(9))
        )
        if number == 1:
            world.happen(PolicyIssued(policy_no="P-99", broker="B-1", premium=Decimal(3)))
            world.commit(deletes=["P-99"])

    meanwhile(read_store, monkeypatch, happens)
    done = world.verify()
    told = [(one.key, one.column, one.live, one.given) for one in done.found.differing]
    assert told[0] == ("P-2", "premium", Decimal("2.00"), Decimal(2)), "as text it is another number"
    assert [(key, column, has is None, given is None) for key, column, has, given in told[1:]] == [
        ("P-55", "", False, True),
        ("P-7", "", True, False),
        ("P-99", "", True, False),
    ]
    assert (done.found.rows, done.found.undecided, done.record.drifted) == (4, (), True)
    assert sum(done.record.positions.values()) == done.events == 18, "where both replays ended"
    assert len(read_store.parked("policy_view", 1)) > 2


def test_history_is_waited_for_where_the_view_is_ahead_of_what_the_relay_has_noted(
    read_store: SqlReadStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(read_store, BOOK)
    world.happen(*history(6))
    monkeypatch.setattr(live, "LOOKS", 3)
    monkeypatch.setattr(live, "LOOK_EVERY", 0)
    late = world.story.records.pop()
    with pytest.raises(NotYet, match=rf"the view holds event {late.sequence}, .*has not noted"):
        world.verify()
    offsets, looks = ListArchive.offsets, itertools.count()

    def noted(self: ListArchive, topic: str, sequences: Mapping[int, int]) -> dict[int, int]:
        if next(looks) == 1:
            world.story.records.append(late)
        return offsets(self, topic, sequences)

    monkeypatch.setattr(ListArchive, "offsets", noted)
    assert world.verify().record.holds


@pytest.mark.parametrize("drifts", [False, True], ids=["no drift", "a row drifted"])
def test_what_is_repaired_meanwhile_leaves_the_other_rows_undecided(
    read_store: SqlReadStore, monkeypatch: pytest.MonkeyPatch, drifts: bool
) -> None:
    world = World(read_store, POLICY)
    world.happen(*history(9), PremiumAgreed(policy_no="P-5", premium=Decimal(-1)))
    (parked,) = read_store.parked("policy_view", 1)
    row = read_store.load(POLICY, ["P-1"])["P-1"]
    world.commit(upserts=[{**row, "changes": 9 if drifts else row["changes"]}, {**row, "policy_no": "P-8"}])

    def happens(number: int) -> None:
        if number == 1:
            world.commit(unparked=[parked.record.envelope.id])

    meanwhile(read_store, monkeypatch, happens)
    undecided = "rows that are undecided: from policy_no 'P-2' on"
    if not drifts:
        with pytest.raises(NotYet, match=f"{undecided}.*\n.*were applied meanwhile"):
            world.verify()
        return
    done = world.verify()
    assert [(one.key, one.live) for one in done.found.differing] == [("P-1", 9)]
    assert done.record.drifted
    assert undecided in done.record.detail


def test_a_row_that_was_mended_before_it_was_looked_at_is_not_named(
    read_store: SqlReadStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(read_store, BOOK)
    world.happen(*history(6))
    row = read_store.load(BOOK, ["B-1"])["B-1"]
    world.overwrite({**row, "policies": 77})
    meanwhile(read_store, monkeypatch, lambda _: world.overwrite(row))
    done = world.verify()
    assert (done.record.drifted, done.found.rows) == (True, 0)
    assert "every row is by now: it was mended" in done.record.detail


def test_a_row_of_a_version_that_does_not_serve_is_mended_with_the_version(read_store: SqlReadStore) -> None:
    class Second(Projection, version=2, context="sales", key="broker", name="broker_book"):
        broker: str
        policies: int = 0

        @on(PolicyIssued, creates=True)
        def issued(self, event: PolicyIssued) -> None:
            self.policies += 1

    World(read_store, BOOK)
    world = World(read_store, Second.definition)
    world.happen(*history(6))
    world.overwrite({"broker": "B-1", "policies": 77})
    ((one,),) = (world.verify().found.differing,)
    assert (
        one.next == "strangler drop broker_book --version 2, then strangler rebuild broker_book --version 2"
    )


def test_a_parked_event_is_left_out_on_both_sides(read_store: SqlReadStore) -> None:
    world = World(read_store, POLICY)
    world.happen(
        *history(4),
        PremiumAgreed(policy_no="P-1", premium=Decimal(-1)),
        PremiumAgreed(policy_no="P-1", premium=Decimal(9)),
    )
    assert len(read_store.parked("policy_view", 1)) == 2
    assert world.verify().findings == ()


def test_an_event_in_the_table_that_the_code_cannot_apply_any_more_is_named(read_store: SqlReadStore) -> None:
    class Stricter(Projection, version=1, context="sales", key="broker", name="broker_book"):
        broker: str
        policies: int = 0
        premium: Decimal = Decimal(0)

        @on(PolicyIssued, creates=True)
        def issued(self, event: PolicyIssued) -> None:
            if event.policy_no == "P-3":
                raise ValueError("no such policy any more")
            self.policies += 1
            self.premium += event.premium

    world = World(read_store, BOOK)
    world.happen(*history(6))
    found = world.verify(Stricter.definition).findings
    assert any("cannot be applied again" in one and "no such policy any more" in one for one in found)
    assert code_hash(Stricter.definition) != code_hash(BOOK)


@pytest.mark.parametrize("partitions", [1, 2])
def test_dependence_on_the_order_of_different_subjects_shows(
    read_store: SqlReadStore, partitions: int
) -> None:
    class LastPolicy(Projection, version=1, context="sales", key="broker", name="last_policy"):
        broker: str
        policy_no: str = ""

        @on(PolicyIssued, creates=True)
        def issued(self, event: PolicyIssued) -> None:
            self.policy_no = event.policy_no

    world = World(read_store, LastPolicy.definition, partitions)
    world.happen(*history(40))
    done = world.verify()
    assert not done.record.deterministic
    assert done.findings[0].startswith("replayed twice: broker ")
    assert done.record.detail.startswith("not deterministic: replayed twice: broker ")


@pytest.mark.parametrize(
    ("projection", "says"),
    [
        (impure.Clock, ["datetime.now", "time", "date.today"]),
        (impure.Chance, ["urandom", "random"]),
        (impure.Outside, ["open"]),
    ],
)
def test_what_a_handler_calls_is_seen_while_it_runs(
    read_store: SqlReadStore, projection: type[Projection], says: list[str]
) -> None:
    world = World(read_store, projection.definition)
    world.happen(*history(2))
    seen = [one for one in world.verify().findings if "called" in one]
    for name in says:
        assert any(name in one and "impure.py" in one for one in seen), (name, seen)


def test_what_a_pure_handler_calls_is_not_held_against_it(read_store: SqlReadStore) -> None:
    world = World(read_store, impure.Pure.definition)
    world.happen(*history(20))
    assert world.verify().findings == ()


def test_the_hash_of_the_code_covers_helpers_and_code_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    before = code_hash(impure.Pure.definition)
    assert code_hash(impure.Pure.definition) == before
    monkeypatch.setitem(impure.CODES, "B-9", "new")
    changed = code_hash(impure.Pure.definition)
    assert changed != before


def test_the_hash_of_the_upcasters_covers_the_events_that_are_handled() -> None:
    assert upcaster_hash(BOOK, CATALOGUE) == upcaster_hash(BOOK, CATALOGUE)
    assert upcaster_hash(BOOK, CATALOGUE) != upcaster_hash(POLICY, CATALOGUE)
