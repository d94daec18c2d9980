"""A version is verified by replaying its history: what is not deterministic shows, and so does drift."""

import datetime as dt
from collections.abc import Mapping
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
    PolicyIssued,
    PremiumAgreed,
    Story,
)
from toolkit.core.projections import Definition, Projection, on
from toolkit.core.records import Delivery
from toolkit.loops.project import Pace, Projector
from toolkit.loops.verify import Verified, code_hash, upcaster_hash, verify
from toolkit.ports import Batch, Digest


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
        archive = as_archive(ListArchive(TOPIC, self.story.records))
        return verify(definition or self.definition, CATALOGUE, self.store, archive, clock, batches=(50, 3))

    def overwrite(self, row: dict[str, object]) -> None:
        assert self.projector.epoch is not None
        self.store.commit(self.definition, Batch(upserts=[row]), epoch=self.projector.epoch, now=START)


def history(count: int = 40) -> list[Any]:
    return [
        *(
            PolicyIssued(policy_no=f"P-{number}", broker=f"B-{number % 3}", premium=Decimal("1.10"))
            for number in range(count)
        ),
        *(PremiumAgreed(policy_no=f"P-{number}", premium=Decimal(number)) for number in range(count)),
    ]


@pytest.mark.parametrize("definition", [POLICY, BOOK], ids=["carries state", "counts"])
def test_a_deterministic_projection_is_found_to_be_one(
    read_store: SqlReadStore, definition: Definition
) -> None:
    world = World(read_store, definition)
    world.happen(*history())
    done = world.verify()
    assert done.findings == ()
    assert (done.record.deterministic, done.events) == (True, 80)
    assert done.record.digest == read_store.digest(definition).digest
    assert sum(done.record.positions.values()) == 80
    assert set(done.record.positions) == {f"{TOPIC}/0", f"{TOPIC}/1"}
    assert "80 events replayed twice" in done.record.detail


@pytest.mark.parametrize("any_store_url", ["sqlite"], indirect=True)
def test_its_history_is_read_in_large_pages_however_small_the_batches_are(
    read_store: SqlReadStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, scans = World(read_store, POLICY), 0
    world.happen(*history())
    scan = ListArchive.scan

    def counted(self: ListArchive, topic: str, after: Mapping[int, int], limit: int) -> list[Delivery]:
        nonlocal scans
        scans += 1
        return scan(self, topic, after, limit)

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
        "replayed and live: broker 'B-1': policies 2 and 77 (strangler repair key broker_book B-1)",
    )
    told = done.record
    assert (told.deterministic, told.drifted, told.holds) == (True, True, False), "both replays agree"
    assert told.detail.startswith("drifted: replayed and live: broker 'B-1'")
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
        named == "replayed and live: broker 'B-1': policies 2 and 77 (strangler repair key broker_book B-1)"
    )
    monkeypatch.setattr(read_store, "digest", grown_after)
    said, *rows = world.verify().findings
    assert said.startswith(
        "the live table (3 rows) is not what its history gives (3 rows) (events came meanwhile"
    )
    assert any("'B-1': policies 2 and 77" in one for one in rows)


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
