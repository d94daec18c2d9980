"""Keys of several columns, and the indexes that a projection declares, on every engine."""

import datetime as dt
from decimal import Decimal

import pytest
from sqlalchemy import inspect

from adapters.read_store.sql import SqlReadStore
from tests.support.read_store import START, TOPICS
from toolkit.core.errors import ProjectError, Unprojectable
from toolkit.core.events import Context, Event
from toolkit.core.projections import Projection, on
from toolkit.core.records import Envelope
from toolkit.ports import Batch, ReadStore

context = Context("service")
ENVELOPE = Envelope(
    id="1",
    source="s",
    type="HoldPlaced",
    subject="P-1",
    time=START,
    version=1,
    meaning=1,
    position="change:1",
)


@context.event(subject="policy_no", means="The policy is held.")
class HoldPlaced(Event):
    policy_no: str
    number: int | None
    placed_on: dt.date


class PolicyHold(
    Projection,
    version=1,
    context="service",
    key=("policy_no", "hold_no"),
    indexes=["placed_on", ("placed_on", "policy_no")],
):
    policy_no: str
    hold_no: int
    placed_on: dt.date
    amount: Decimal = Decimal(0)

    @on(HoldPlaced, creates=True, key=("policy_no", "number"))
    def placed(self, event: HoldPlaced) -> None:
        self.placed_on = event.placed_on


HOLD = PolicyHold.definition


def hold(policy: str, number: int, day: int = 1) -> dict[str, object]:
    return {
        "policy_no": policy,
        "hold_no": number,
        "placed_on": dt.date(2024, 1, day),
        "amount": Decimal("1.50"),
    }


def write(store: ReadStore, *rows: dict[str, object], deletes: tuple[object, ...] = ()) -> None:
    store.create(HOLD, TOPICS, START)
    epoch = store.seize(HOLD.name, HOLD.version)
    store.commit(HOLD, Batch(upserts=list(rows), deletes=list(deletes)), epoch=epoch, now=START)


def test_an_event_names_its_row_by_several_fields() -> None:
    event = HoldPlaced(policy_no="P-1", number=3, placed_on=dt.date(2024, 1, 1))

    assert HOLD.key_of(event) == ("P-1", 3)
    assert HOLD.apply(None, event, ENVELOPE) == {
        "policy_no": "P-1",
        "hold_no": 3,
        "placed_on": dt.date(2024, 1, 1),
        "amount": Decimal(0),
    }
    assert HOLD.key_text(("P-1", 3)) == "P-1/3"


def test_an_empty_part_of_a_key_is_refused_by_name() -> None:
    with pytest.raises(Unprojectable, match="hold_no, is empty"):
        HOLD.key_of(HoldPlaced(policy_no="P-1", number=None, placed_on=dt.date(2024, 1, 1)))


def test_rows_are_loaded_replaced_and_deleted_by_their_whole_key(any_store: ReadStore) -> None:
    write(any_store, hold("P-1", 1), hold("P-1", 2), hold("P-2", 1))
    write(any_store, hold("P-1", 2, day=9), deletes=(("P-2", 1),))

    found = any_store.load(HOLD, [("P-1", 1), ("P-1", 2), ("P-2", 1), ("P-2", 2)])

    assert found == {("P-1", 1): hold("P-1", 1), ("P-1", 2): hold("P-1", 2, day=9)}


def test_many_rows_at_once_are_replaced_by_their_whole_key(any_store: ReadStore) -> None:
    write(any_store, *(hold(f"P-{one}", two) for one in range(20) for two in range(10)))
    write(any_store, *(hold(f"P-{one}", two, day=5) for one in range(20) for two in range(10)))

    assert any_store.digest(HOLD).rows == 200
    assert any_store.load(HOLD, [("P-3", 4)]) == {("P-3", 4): hold("P-3", 4, day=5)}


def test_pages_follow_the_order_of_the_key(any_store: ReadStore) -> None:
    rows = [hold(policy, number) for policy in ("P-1", "P-10", "p-1") for number in (2, 10, -1)]
    write(any_store, *rows)

    pages, after = [], None
    while page := any_store.rows(HOLD, after, 2):
        pages += page
        after = HOLD.key_in(page[-1])

    assert pages == sorted(rows, key=lambda row: (str(row["policy_no"]), int(str(row["hold_no"]))))


def test_declared_indexes_are_made_once(read_store: SqlReadStore) -> None:
    read_store.create(HOLD, TOPICS, START)
    read_store.create(HOLD, TOPICS, START)

    found = inspect(read_store.engine).get_indexes(HOLD.table)

    assert sorted(tuple(one["column_names"]) for one in found) == [
        ("placed_on",),
        ("placed_on", "policy_no"),
    ]


def test_faults_of_key_and_indexes_are_told_together() -> None:
    with pytest.raises(ProjectError) as caught:

        class Wrong(
            Projection,
            version=1,
            context="service",
            key=("policy_no", "amount"),
            indexes=["nothing", "notes"],
        ):
            policy_no: str
            amount: Decimal
            notes: list[str] = []  # noqa: RUF012

            @on(HoldPlaced, creates=True, key="policy_no")
            def placed(self, event: HoldPlaced) -> None: ...

    said = str(caught.value)
    assert "a key is text, a whole number, a date or an instant" in said
    assert "index on 'nothing', which is not one of its fields" in said
    assert "index on 'notes', which is JSON" in said
    assert "names 1 fields of HoldPlaced for a key of 2 columns" in said
