"""What every read store promises, whatever it is made of: the suite for an adapter of your own (docs/read-store.md)."""

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from tests.support.read_store import PARTITIONS, POLICY, SECOND, START, TOPIC, TOPICS, Story, open_any_store
from tests.support.read_store import PolicyCancelled as Cancelled
from tests.support.read_store import PolicyIssued as Issued
from toolkit.core.errors import Fenced, Refused, UsageError
from toolkit.core.projections import Definition, Projection, on
from toolkit.ports import Batch, Checkpoint, ParkedEvent, ReadStore, SkippedEvent

CHANGED = dt.datetime(2024, 2, 3, 4, 5, 6, 789, tzinfo=dt.UTC)


def row(policy_no: str = "P-1", **values: object) -> dict[str, object]:
    return {
        "policy_no": policy_no,
        "premium": Decimal("1234567890123456.70"),
        "status": "in_force",
        "reason": "Ünïcödé 'quoted' %s",
        "ends_on": dt.date(2024, 2, 29),
        "open": True,
        "changes": 2**62,
        "history": [{"a": [1, None, "x"]}, "y"],
        "changed_at": CHANGED,
        **values,
    }


class Writer:
    """One owner of one version."""

    def __init__(self, store: ReadStore, definition: Definition = POLICY) -> None:
        store.create(definition, TOPICS, START)
        self.store, self.definition = store, definition
        self.epoch = store.seize(definition.name, definition.version)

    def write(self, *rows: dict[str, object], **changes: Any) -> None:
        batch = Batch(upserts=list(rows), **changes)
        self.store.commit(self.definition, batch, epoch=self.epoch, now=START)


@pytest.fixture
def writer(any_store: ReadStore) -> Writer:
    return Writer(any_store)


def version_two() -> Definition:
    class Second(Projection, version=2, context="service", key="policy_no", name="policy_view"):
        policy_no: str
        premium: Decimal

        @on(Issued, creates=True)
        def issued(self, event: Issued) -> None:
            self.premium = event.premium

    return Second.definition


def test_a_row_comes_back_as_it_was_written(writer: Writer) -> None:
    empty = row("P-2", reason=None, ends_on=None, changed_at=None, open=False, changes=-1, history=[])
    writer.write(row(), empty)
    assert writer.store.load(POLICY, ["P-1", "P-2", "P-3"]) == {"P-1": row(), "P-2": empty}


@pytest.mark.parametrize("number", ["0", "0.00", "1.50", "-3.10", "12345678901234567890.12345", "0.1", "100"])
def test_a_decimal_keeps_its_places(writer: Writer, number: str) -> None:
    writer.write(row(premium=Decimal(number)))
    found = writer.store.load(POLICY, ["P-1"])["P-1"]["premium"]
    assert (type(found), str(found)) == (Decimal, number)


@pytest.mark.parametrize("count", [3, 500], ids=["few", "many"])
def test_a_batch_inserts_updates_and_deletes(writer: Writer, count: int) -> None:
    writer.write(*(row(f"P-{number}") for number in range(count)))
    writer.write(*(row(f"P-{number}", changes=1) for number in range(1, count + 1)), deletes=["P-0"])
    rows = writer.store.rows(POLICY, None, count + 5)
    assert {one["policy_no"]: one["changes"] for one in rows} == {
        f"P-{number}": 1 for number in range(1, count + 1)
    }


def test_rows_come_in_the_order_of_code_points(writer: Writer) -> None:
    names = ["a", "B", "Ä", "z", "_", "10", "9", "\U0001f600", "￰"]
    writer.write(*map(row, names))
    found: list[object] = []
    while page := writer.store.rows(POLICY, found[-1] if found else None, 2):
        found += [one["policy_no"] for one in page]
    assert found == sorted(names)


def test_rows_checkpoints_and_parked_events_change_together_or_not_at_all(writer: Writer) -> None:
    record = Story().tell(Issued(policy_no="P-1", broker="B", premium=Decimal(1)))[0]
    parked = ParkedEvent(record=record, topic=TOPIC, key="P-1", reason="why", held=False, parked_at=START)
    moved = Checkpoint(topic=TOPIC, partition=1, next_offset=8, sequence=5, as_of=CHANGED)
    nowhere = Checkpoint(topic="other", partition=0)
    with pytest.raises(UsageError):
        writer.write(row(), checkpoints=[moved, nowhere], parked=[parked])
    assert writer.store.rows(POLICY, None, 9) == []
    writer.write(row(), checkpoints=[moved], parked=[parked])
    assert writer.store.checkpoints("policy_view", 1) == [Checkpoint(topic=TOPIC, partition=0), moved]
    assert writer.store.parked("policy_view", 1) == [parked]
    writer.write(unparked=[record.envelope.id])
    assert writer.store.parked("policy_view", 1) == []


def test_a_zombies_commit_is_refused_whole(writer: Writer) -> None:
    writer.write(row())
    writer.store.seize("policy_view", 1)
    with pytest.raises(Fenced, match="policy_view v1"):
        writer.write(row(changes=9), checkpoints=[Checkpoint(topic=TOPIC, partition=0, sequence=9)])
    with pytest.raises(Fenced):
        writer.store.set_state("policy_view", 1, "failed", "", epoch=writer.epoch, now=START)
    assert writer.store.load(POLICY, ["P-1"])["P-1"] == row()
    assert writer.store.checkpoints("policy_view", 1)[0].sequence == 0


def test_parking_again_keeps_the_place_and_takes_the_new_reason(writer: Writer) -> None:
    story = Story(1)
    records = story.tell(*(Issued(policy_no=f"P-{n}", broker="B", premium=Decimal(1)) for n in range(3)))

    def parked(at: int, reason: str, when: dt.datetime) -> ParkedEvent:
        return ParkedEvent(
            record=records[at],
            topic=TOPIC,
            key=None if at else "P-0",
            reason=reason,
            held=False,
            parked_at=when,
        )

    writer.write(parked=[parked(2, "a", START), parked(0, "b", START)])
    writer.write(parked=[parked(0, "c", CHANGED)])
    assert writer.store.parked("policy_view", 1) == [parked(0, "c", START), parked(2, "a", START)]


def test_creating_again_changes_nothing_but_adds_new_partitions(writer: Writer) -> None:
    writer.write(row(), checkpoints=[Checkpoint(topic=TOPIC, partition=0, next_offset=3, sequence=3)])
    writer.store.create(POLICY, TOPICS | {"second": 1}, START)
    assert writer.store.load(POLICY, ["P-1"])["P-1"] == row()
    assert [(one.topic, one.sequence) for one in writer.store.checkpoints("policy_view", 1)] == [
        (TOPIC, 3),
        (TOPIC, 0),
        ("second", 0),
    ]


def test_columns_that_changed_without_a_new_version_are_refused(writer: Writer) -> None:
    class Changed(Projection, version=1, context="service", key="policy_no", name="policy_view"):
        policy_no: str
        premium: int

        @on(Issued, creates=True)
        def issued(self, event: Issued) -> None: ...

    with pytest.raises(UsageError, match="version=2"):
        writer.store.create(Changed.definition, TOPICS, START)


def test_a_serving_version_is_not_dropped_and_another_leaves_nothing(writer: Writer) -> None:
    second = Writer(writer.store, version_two())
    with pytest.raises(Refused, match="switch"):
        writer.store.drop("policy_view", 1)
    second.write({"policy_no": "P-1", "premium": Decimal(2)})
    writer.store.drop("policy_view", 2)
    assert [one.version for one in writer.store.versions()] == [1]
    with pytest.raises(UsageError, match="no policy_view v2"):
        writer.store.seize("policy_view", 2)
    Writer(writer.store, version_two())
    assert writer.store.rows(version_two(), None, 5) == []


def test_the_state_of_a_version_is_kept_with_when_it_was_built(writer: Writer) -> None:
    def told(state: str, detail: str, now: dt.datetime) -> None:
        writer.store.set_state("policy_view", 1, state, detail, epoch=writer.epoch, now=now)

    assert writer.store.versions()[0].state == "building"
    told("running", "", START)
    told("waiting", "for 7", CHANGED)
    told("running", "", CHANGED)
    found = writer.store.versions("policy_view")[0]
    assert (found.state, found.detail, found.built_at, found.updated_at) == ("running", "", START, CHANGED)


def test_a_digest_tells_content_not_the_way_it_came(any_store: ReadStore) -> None:
    def digest(*writes: Callable[[Writer], None]) -> tuple[str, int]:
        writer = Writer(any_store, second)
        for write in writes:
            write(writer)
        found = any_store.digest(second)
        any_store.drop("policy_view", 2)
        return found.digest, found.rows

    Writer(any_store)
    second = version_two()
    a, b = ({"policy_no": name, "premium": Decimal("1.50")} for name in "ab")
    assert digest(lambda w: w.write(a, b)) == digest(lambda w: w.write(b), lambda w: w.write(a))
    assert digest(lambda w: w.write(a)) != digest(lambda w: w.write(b))
    assert digest(lambda w: w.write(a))[1] == 1


def test_a_digest_comes_with_its_positions_and_parked_events(writer: Writer) -> None:
    record = Story(1).tell(Issued(policy_no="P-1", broker="B", premium=Decimal(1)))[0]
    parked = ParkedEvent(record=record, topic=TOPIC, key="P-1", reason="", held=False, parked_at=START)
    writer.write(parked=[parked], checkpoints=[Checkpoint(topic=TOPIC, partition=0, sequence=4)])
    found = writer.store.digest(POLICY)
    assert [one.sequence for one in found.checkpoints] == [4, 0]
    assert found.parked == [record.envelope.id]
    assert len(found.checkpoints) == PARTITIONS


def test_a_row_that_was_thought_not_to_be_there_is_replaced_all_the_same(writer: Writer) -> None:
    writer.write(row(), row("P-2"))
    writer.write(inserts=[row(changes=3), row("P-3")])
    assert [one["changes"] for one in writer.store.rows(POLICY, None, 9)] == [3, 2**62, 2**62]


def test_text_and_lists_of_any_length_come_back_whole(writer: Writer) -> None:
    large = row(reason="ü" * 300_000, history=["x" * 1000] * 500)
    writer.write(large)
    assert writer.store.load(POLICY, ["P-1"])["P-1"] == large


def test_a_page_comes_with_its_positions_and_the_events_that_it_lacks(writer: Writer) -> None:
    records = Story(1).tell(*(Issued(policy_no=f"P-{n}", broker="B", premium=Decimal(1)) for n in range(2)))
    parked = [
        ParkedEvent(record=one, topic=TOPIC, key=None, reason="why", held=False, parked_at=START)
        for one in records
    ]
    skipped = SkippedEvent(parked=parked[0], owner="ada", reason="r", skipped_at=CHANGED, code_hash="h")
    rows = [row(f"P-{number}") for number in range(5)]
    moved = Checkpoint(topic=TOPIC, partition=0, next_offset=9, sequence=7)
    writer.write(*rows, checkpoints=[moved], parked=parked)
    writer.write(skipped=[skipped])
    first = writer.store.page(POLICY, None, 3)
    assert first.rows == writer.store.rows(POLICY, None, 3)
    assert (first.checkpoints[0], first.parked, first.skipped) == (
        moved,
        [records[1].envelope.id],
        [records[0].envelope.id],
    )
    assert writer.store.page(POLICY, "P-2", 3).rows == writer.store.rows(POLICY, "P-2", 3)


@pytest.mark.parametrize("read", ["load", "rows", "page", "digest"])
def test_a_version_is_not_read_with_other_columns_than_it_was_built_with(writer: Writer, read: str) -> None:
    class Changed(Projection, version=1, context="service", key="policy_no", name="policy_view"):
        policy_no: str
        currency: str = "EUR"

        @on(Issued, creates=True)
        def issued(self, event: Issued) -> None: ...

    writer.write(row())
    given: dict[str, tuple[Any, ...]] = {
        "load": (["P-1"],),
        "rows": (None, 9),
        "page": (None, 9),
        "digest": (),
    }
    for _ in range(2):
        with pytest.raises(UsageError, match=r"policy_view v1 is built with other columns.*version=2"):
            getattr(writer.store, read)(Changed.definition, *given[read])
    assert getattr(writer.store, read)(POLICY, *given[read])


def test_a_skipped_event_leaves_the_parked_ones_for_a_ledger_that_outlives_the_version(
    writer: Writer,
) -> None:
    second = Writer(writer.store, version_two())
    records = Story(1).tell(*(Issued(policy_no=f"P-{n}", broker="B", premium=Decimal(1)) for n in range(2)))
    parked = [
        ParkedEvent(record=one, topic=TOPIC, key=None, reason="why", held=False, parked_at=START)
        for one in records
    ]
    skipped = SkippedEvent(parked=parked[0], owner="ada", reason="r", skipped_at=CHANGED, code_hash="h")
    second.write(parked=parked)
    second.write(skipped=[skipped])
    assert writer.store.parked("policy_view", 2) == parked[1:]
    assert writer.store.digest(version_two()).skipped == [records[0].envelope.id]
    writer.store.drop("policy_view", 2)
    Writer(writer.store, version_two())
    assert (writer.store.parked("policy_view", 2), writer.store.skipped("policy_view", 2)) == ([], [skipped])
    assert writer.store.skipped("policy_view", 1) == []


class Line(Projection, version=1, context="service", key=("policy_no", "line_no")):
    policy_no: str
    line_no: int

    @on(Issued, creates=True, key=("policy_no", "broker"))
    def issued(self, event: Issued) -> None: ...

    @on(Cancelled, every=True, key="policy_no")
    def cancelled(self, event: Cancelled) -> None: ...


def test_all_rows_of_a_parent_are_found_and_no_others(any_store: ReadStore) -> None:
    lines: list[dict[str, object]] = [
        {"policy_no": name, "line_no": at} for name in ("P-1", "P-10", "p-1", "P-2") for at in (2, 10, -1)
    ]
    Writer(any_store, Line.definition).write(*lines)
    found = any_store.load_under(Line.definition, ["P-1", "P-2", "P-3"])
    some = any_store.load_under(Line.definition, ["P-1", "P-2", "P-3"], most=2)
    assert sorted(str(row["policy_no"]) for row in some.values()) == ["P-1", "P-1", "P-2", "P-2"]
    assert found.keys() == {(name, at) for name in ("P-1", "P-2") for at in (-1, 2, 10)}


def test_of_two_processes_each_sees_what_the_other_wrote_and_the_younger_one_owns(
    any_store_url: str, writer: Writer
) -> None:
    writer.write(row())
    other = open_any_store(any_store_url)
    assert other.load(POLICY, ["P-1"]) == {"P-1": row()}
    epoch = other.seize("policy_view", 1)
    with pytest.raises(Fenced):
        writer.write(row(changes=1))
    other.commit(POLICY, Batch(deletes=["P-1"]), epoch=epoch, now=START)
    other.close()
    assert writer.store.load(POLICY, ["P-1"]) == {}


def test_who_owned_a_version_that_was_dropped_does_not_own_the_one_built_anew(writer: Writer) -> None:
    former = Writer(writer.store, version_two())
    writer.store.drop("policy_view", 2)
    writer.store.create(version_two(), TOPICS, START + SECOND)
    with pytest.raises(Fenced):
        former.write({"policy_no": "P-1", "premium": Decimal(2)})
    assert writer.store.rows(version_two(), None, 5) == []
