"""What a function made for a class says of its events is what reading them again would say."""

import datetime as dt
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.core.events import Event
from toolkit.core.fitting import fitter


class Reason(StrEnum):
    LAPSE = "lapse"


class Stated(Event):
    text: str
    number: int
    flag: bool
    amount: Decimal
    day: dt.date
    at: dt.datetime
    word: Literal["a", "b"]
    reason: Reason
    note: str | None = None


class Listed(Event):
    lines: list[int]


class Bounded(Event):
    number: Annotated[int, msgspec.Meta(ge=0)]


FITTING: dict[str, Any] = {
    "text": "x",
    "number": 1,
    "flag": True,
    "amount": Decimal("1.50"),
    "day": dt.date(2024, 1, 1),
    "at": dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
    "word": "a",
    "reason": Reason.LAPSE,
    "note": None,
}
fits = fitter(Stated)


def reads_again(event: Event) -> bool:
    try:
        msgspec.json.decode(msgspec.json.encode(event), type=type(event))
    except msgspec.MsgspecError:
        return False
    return True


def test_what_fits_is_not_read_again() -> None:
    assert fits(Stated(**FITTING))
    assert fits(Stated(**{**FITTING, "note": "y"}))


odd = st.one_of(
    st.none(),
    st.text(st.characters(codec="utf-8")),
    st.integers(-(2**70), 2**70),
    st.booleans(),
    st.floats(),
    st.decimals(),
    st.dates(),
    st.datetimes(timezones=st.none() | st.just(dt.UTC)),
    st.sampled_from(["a", "lapse", Reason.LAPSE]),
    st.lists(st.integers()),
)


@given(name=st.sampled_from(sorted(FITTING)), value=odd)
def test_nothing_passes_that_could_not_be_read_as_it_was_written(name: str, value: object) -> None:
    event = Stated(**{**FITTING, name: value})
    if fits(event):
        assert msgspec.json.decode(msgspec.json.encode(event), type=Stated) == event


@pytest.mark.parametrize("event", [Listed(lines=[1]), Bounded(number=1)])
def test_what_only_reading_can_judge_is_read(event: Event) -> None:
    assert not fitter(type(event))(event)
    assert reads_again(event)
