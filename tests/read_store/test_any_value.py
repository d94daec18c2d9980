"""Whatever a column's contract lets through comes back from every store as it was written, and keys keep their order."""

import datetime as dt
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.read_store.test_store import Writer
from toolkit.core import values
from toolkit.core.errors import Unprojectable
from toolkit.core.events import Context, Event
from toolkit.core.projections import Projection, on, row_json
from toolkit.core.records import Envelope
from toolkit.ports import ReadStore

context = Context("anything")


@context.event(subject="name", means="Something was told.")
class Told(Event):
    name: str
    number: int
    day: dt.date
    at: dt.datetime


class Anything(Projection, version=1, context="any", key=("name", "number", "day", "at")):
    name: str
    number: int
    day: dt.date
    at: dt.datetime
    text: str | None = None
    amount: Decimal | None = None
    flag: bool | None = None
    due: dt.date | None = None
    seen: dt.datetime | None = None
    some: list[Any] | None = None
    table: dict[str, Any] | None = None

    @on(Told, creates=True)
    def told(self, event: Told) -> None: ...


ANYTHING = Anything.definition
TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=12)
INTEGER = st.integers(-(2**63), 2**63 - 1)
INSTANT = st.datetimes(timezones=st.just(dt.UTC))
AMOUNT = st.decimals(allow_nan=False, allow_infinity=False, places=None).filter(
    lambda one: len(f"{one:f}") < 200
)
JSON = st.recursive(
    st.none() | st.booleans() | INTEGER | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)


def normal(kind: Any, given: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """As the contract leaves it."""
    return st.none() | given.map(kind)


ROW = st.fixed_dictionaries(
    {
        "name": TEXT,
        "number": INTEGER,
        "day": st.dates(),
        "at": INSTANT,
        "text": st.none() | TEXT,
        "amount": normal(values.decimal, AMOUNT),
        "flag": st.none() | st.booleans(),
        "due": st.none() | st.dates(),
        "seen": st.none() | INSTANT,
        "some": normal(values.json, st.lists(JSON, max_size=3)),
        "table": normal(values.json, st.dictionaries(TEXT, JSON, max_size=3)),
    }
)


def of(**told: Any) -> dict[str, Any]:
    plain = {
        "name": "a",
        "number": 0,
        "day": dt.date(2024, 1, 1),
        "at": dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
    }
    return {**plain, **dict.fromkeys(("text", "amount", "flag", "due", "seen", "some", "table")), **told}


FIRST = dt.datetime(1, 1, 1, tzinfo=dt.UTC)
LAST = dt.datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=dt.UTC)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@example(
    rows=[
        of(name=name)
        for name in ("", " ", "a ", "a", "A", "ä", "a\u0308", "\U0001f600", "\uffff", "\\", "%s")
    ]
)
@example(rows=[of(at=FIRST, seen=LAST, day=dt.date.min, due=dt.date.max), of(at=LAST, seen=FIRST)])
@example(
    rows=[
        of(amount=Decimal("0.000")),
        of(number=1, amount=Decimal("-1." + "0" * 60)),
        of(number=2, some=values.json([1.0, 1, -0.0, 1e300, 1.5e16, 5e-324, 2**53 + 1, 2**80])),
    ]
)
@example(rows=[of(text="\r\n\t\\N \\. \x01\x1f\ufeff", table={"": {"\\": ["\u2028", "'\""]}})])
@given(
    rows=st.lists(
        ROW, min_size=1, max_size=8, unique_by=lambda row: (row["name"], row["number"], row["day"], row["at"])
    )
)
def test_whatever_is_allowed_comes_back_in_the_order_of_its_key(
    any_store: ReadStore, rows: list[dict[str, object]]
) -> None:
    writer = Writer(any_store, ANYTHING)
    writer.write(deletes=[ANYTHING.key_in(row) for row in any_store.rows(ANYTHING, None, 999)])
    writer.write(*rows)
    keys = sorted(ANYTHING.key_in(row) for row in rows)  # type: ignore[type-var]
    found = any_store.rows(ANYTHING, None, 999)
    assert [ANYTHING.key_in(row) for row in found] == keys
    loaded = any_store.load(ANYTHING, keys)
    assert {key: row_json(row) for key, row in loaded.items()} == {
        ANYTHING.key_in(row): row_json(row) for row in rows
    }, "also what a digest sees"
    writer.write(deletes=keys)
    assert any_store.rows(ANYTHING, None, 9) == []


@context.event(subject="name", means="A note was written.")
class Noted(Event):
    name: str
    note: str
    amount: Decimal = Decimal(0)


class Note(Projection, version=1, context="any", key="name", indexes=["note", ("note", "amount")]):
    name: str
    note: str
    amount: Decimal

    @on(Noted, creates=True)
    def noted(self, event: Noted) -> None:
        self.note, self.amount = event.note, event.amount


NOTE = Note.definition
ENVELOPE = Envelope(
    id="1", source="s", type="Noted", subject="n", time=FIRST, version=1, meaning=1, position="1"
)


def noise(count: int, first: int = 33, last: int = 126) -> str:
    """Text that no store can make smaller."""
    drawn = Random(count)
    return "".join(chr(drawn.randint(first, last)) for _ in range(count))


def written(event: Noted) -> dict[str, object]:
    row = NOTE.apply(None, event, ENVELOPE)
    assert row is not None
    return row


@pytest.mark.parametrize(
    ("name", "note", "amount"),
    [
        (noise(768), noise(1250), "9" * 255),
        (noise(625, 0x1F600, 0x1F64F), noise(312, 0x1F600, 0x1F64F), "-0." + "1" * 252),
    ],
)
def test_the_longest_values_that_are_allowed_are_taken_by_every_index(
    any_store: ReadStore, name: str, note: str, amount: str
) -> None:
    row = written(Noted(name=name, note=note, amount=Decimal(amount)))
    writer = Writer(any_store, NOTE)
    writer.write(row)
    assert any_store.load(NOTE, [NOTE.key_of(Noted(name=name, note=""))]) == {name: row}


@pytest.mark.parametrize(
    ("event", "says"),
    [
        (
            Noted(name=noise(769), note=""),
            "name, has 769 characters, 769 bytes, and may have 768 and 2500 in a key",
        ),
        (Noted(name=noise(700, 0x1F600, 0x1F64F), note=""), "2800 bytes.* key the row by a number"),
        (
            Noted(name="n", note=noise(1251)),
            "note has 1251 characters.* in a declared index: take the column out",
        ),
        (Noted(name="n", note=noise(400, 0x1F600, 0x1F64F)), "note has 400 characters, 1600 bytes"),
        (Noted(name="n", note="", amount=Decimal("1." + "0" * 254)), "256 characters, more than the 255"),
    ],
)
def test_what_an_index_of_some_store_would_refuse_is_refused_by_the_contract(event: Noted, says: str) -> None:
    with pytest.raises(Unprojectable, match=says):
        written(event)
