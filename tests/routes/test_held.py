"""Which held keys make an answer doubtful, where a row's key has several columns (R3, R6)."""

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest

from adapters.read_store.sql import SqlReadStore
from tests.support.read_store import START, TOPIC, read_store, read_store_url
from toolkit.core.events import Catalogue, Context, Event
from toolkit.core.projections import Projection, on
from toolkit.core.records import Envelope, Record
from toolkit.ports import Batch, ParkedEvent
from toolkit.router.holding import looking, of_subjects, subject_at
from toolkit.router.paths import Asked, doubted, missing

__all__ = ["read_store", "read_store_url"]

context = Context("service")


@context.event(subject="policy_no", means="The policy is held.")
class HoldPlaced(Event):
    policy_no: str
    number: int


@context.event(subject="policy_no", means="These holds were noted.")
class HoldsNoted(Event):
    company: int
    policy_no: str
    holds: list[int]


class PolicyHold(Projection, version=1, context="service", key=("policy_no", "hold_no")):
    policy_no: str
    hold_no: int

    @on(HoldPlaced, creates=True, key=("policy_no", "number"))
    def placed(self, event: HoldPlaced) -> None: ...


HOLD = PolicyHold.definition
ROWS = [{"policy_no": "P1", "hold_no": 1}]


def asked(**key: object) -> Asked:
    return Asked(key=key, parameters={}, subject="\x1f".join(map(str, key.values())))


@pytest.mark.parametrize(
    ("key", "held"),
    [
        ({"policy_no": "P1", "hold_no": 1}, ["P1/1", "P1"]),
        ({"policy_no": "P1"}, ["P1/1", "P1/2", "P1"]),
        ({"hold_no": 1}, ["P1/1", "P9/1", "P1"]),
    ],
    ids=["one row", "all rows of a subject", "by another column"],
)
def test_a_row_that_is_held_or_missing_and_a_subject_whose_event_told_no_row_make_it_doubtful(
    key: Mapping[str, object], held: list[str]
) -> None:
    every = ["P1/1", "P1/2", "P9/1", "P1", "P9"]
    assert doubted(HOLD, asked(**key), ROWS, every) == [one for one in every if one in held]


def test_where_the_answer_does_not_show_the_whole_key_what_was_asked_tells() -> None:
    rows = [{"holds": 3}]
    assert doubted(HOLD, asked(policy_no="P1"), rows, ["P1/2", "P9/1"]) == ["P1/2"]
    assert doubted(HOLD, asked(policy_no="P1"), rows, ["P9/1"]) is None


@pytest.mark.parametrize(("one", "other"), [(("A/B", "C"), ("A", "B/C")), (("A%2F", "B"), ("A/", "B"))])
def test_two_keys_never_have_one_text_and_the_text_tells_the_key(
    one: tuple[str, str], other: tuple[str, str]
) -> None:
    assert HOLD.key_text(one) != HOLD.key_text(other)
    assert [HOLD.key_parts(HOLD.key_text(key)) for key in (one, other)] == [one, other]


class HoldNote(Projection, version=1, context="service", key=("company", "policy_no", "hold_no")):
    company: int
    policy_no: str
    hold_no: int

    @on(HoldsNoted, creates=True, each="holds", key=("company", "policy_no", "each"))
    def noted(self, event: HoldsNoted, hold: int) -> None: ...


def test_an_event_about_many_rows_that_waits_makes_every_row_of_its_parent_doubtful() -> None:
    definition = HoldNote.definition
    held = [definition.key_text(definition.key_of(HoldsNoted(company=7, policy_no="P1", holds=[])))]
    assert held == ["7/P1"]
    rows = [{"company": 7, "policy_no": "P1", "hold_no": 1}]
    whole = {"company": 7, "policy_no": "P1", "hold_no": 1}
    assert doubted(definition, asked(**whole), rows, held) == held
    assert doubted(definition, asked(company=7), rows, held) == held
    assert doubted(definition, asked(company=7), [], held) == held
    assert doubted(definition, asked(**{**whole, "policy_no": "P2"}), [], held) == []
    assert doubted(definition, asked(company=7), [{**whole, "policy_no": "P2"}], held) == held
    assert doubted(definition, asked(company=8), [{**whole, "company": 8}], held) == []


@pytest.mark.parametrize(
    ("asked_for", "doubtful"),
    [
        ({"policy_no": "P1"}, ["P1/2", "P1"]),
        ({"policy_no": "P2"}, ["P1"]),
        ({"hold_no": 2}, ["P1/2", "P1"]),
        ({"hold_no": 3}, ["P1"]),
        ({"broker": "B-1"}, ["P1/2", "P1"]),
    ],
    ids=["its subject", "another subject", "another column", "another value", "no column of the key"],
)
def test_an_empty_answer_is_doubtful_for_a_held_key_that_may_be_of_it(
    asked_for: Mapping[str, object], doubtful: list[str]
) -> None:
    """`P1` is a subject whose event told no row: only an answer of that subject is sure to be of it."""
    assert doubted(HOLD, asked(**asked_for), [], ["P1/2", "P1"]) == doubtful


@context.event(subject="rental", means="It was taken home.")
class Rented(Event):
    rental: int
    customer: int
    staff: int


@context.event(subject="rental", means="It came back.")
class Returned(Event):
    rental: int
    staff: int


class OpenRental(Projection, version=1, context="service", key="rental"):
    rental: int
    customer: int

    @on(Rented, creates=True)
    def rented(self, event: Rented) -> None:
        self.customer = event.customer

    @on(Returned)
    def returned(self, event: Returned) -> None: ...


OPEN = OpenRental.definition


def waits(number: int, key: str | None, kind: str = "Returned", **data: object) -> ParkedEvent:
    envelope = Envelope(
        id=f"e{number}",
        type=kind,
        version=1,
        subject=str(data["rental"]),
        source="crm",
        time=START,
        meaning=1,
        position="1",
    )
    record = Record(sequence=number, partition=0, envelope=envelope, data=json.dumps(data).encode())
    return ParkedEvent(record=record, topic=TOPIC, key=key, reason="no", held=False, parked_at=START)


@pytest.mark.parametrize("read_store_url", ["sqlite"], indirect=True)
def test_the_row_and_the_events_of_a_held_key_tell_to_whom_it_may_belong(read_store: SqlReadStore) -> None:
    read_store.create(OPEN, {TOPIC: 1}, START)
    epoch = read_store.seize("open_rental", 1)
    parked = [
        waits(1, "245", rental=245, staff=2),
        waits(2, "7", "Rented", rental=7, customer=8, staff=2),
        waits(3, "9", rental=9, staff=2),
        waits(4, "245", "Moved", rental=245, new_customer=44, customer=5),
    ]
    batch = Batch(upserts=[{"rental": 245, "customer": 5}], parked=parked)
    read_store.commit(OPEN, batch, epoch=epoch, now=START)

    def told(customer: int) -> dict[str, bool | None]:
        question = asked(customer=customer)
        return missing(OPEN, question, ["245", "7", "9"], looking(read_store, OPEN, question.key))

    assert told(5) == {"245": True, "7": False, "9": None}, "the row stands, and what waits may leave it"
    assert told(44) == {"245": True, "7": False, "9": None}, "it moves to another customer"
    assert told(8) == {"245": False, "7": True, "9": None}, "the row that is to be made"
    assert told(2) == {"245": False, "7": False, "9": True}, (
        "staff 2 is nobody's customer, where one is named"
    )
    assert told(6) == {"245": False, "7": False, "9": None}, (
        "of 9 there is no row, and no event names a customer"
    )


CATALOGUE = Catalogue.of([context])


@pytest.mark.parametrize(
    ("key", "rows", "told"),
    [
        ({"policy_no": "P1"}, [], {"P1": True, "P2": False}),
        ({"policy_no": "p1 "}, [], {"P1": True, "P2": False}),
        ({"policy_no": "P1", "hold_no": 1}, [], {"P1": True, "P2": False}),
        ({"hold_no": 1}, [], {"P1": None, "P2": None}),
        ({"broker": "B-1"}, [], {"P1": None, "P2": None}),
        ({"broker": "P2"}, [], {"P1": None, "P2": True}),
        ({"hold_no": 1}, ROWS, {"P1": True, "P2": False}),
        ({"hold_no": 1}, [{"holds": 3}], {"P1": None, "P2": None}),
    ],
    ids=[
        "its subject",
        "spelled otherwise",
        "one row",
        "another column",
        "none",
        "the same text",
        "a list",
        "a total",
    ],
)
def test_an_answer_is_doubtful_for_a_subject_with_a_parked_change_unless_it_is_sure_to_be_of_another(
    key: Mapping[str, object], rows: list[dict[str, object]], told: dict[str, bool | None]
) -> None:
    at = subject_at(HOLD, CATALOGUE)
    assert at == (0,)
    assert of_subjects(HOLD, at, key, rows, ["P1", "P2"]) == told


def test_where_no_column_of_the_key_holds_the_subject_or_nobody_knows_the_subject_every_answer_stays_doubtful() -> (
    None
):
    assert subject_at(HoldNote.definition, CATALOGUE) == (1,)
    assert of_subjects(HoldNote.definition, (1,), {"company": 7}, [], ["P1"]) == {"P1": None}
    assert of_subjects(HOLD, None, {"policy_no": "P1"}, [], ["P2"]) == {"P2": None}
    assert of_subjects(HOLD, (0,), {"policy_no": "P1"}, [], ["", "P\ufffd"]) == {"": None, "P\ufffd": None}
    by_customer = replace(OPEN, handlers={n: replace(h, key=("customer",)) for n, h in OPEN.handlers.items()})
    assert subject_at(by_customer, CATALOGUE) is None
