"""What callers give to reads, and would be told to a driver otherwise than they mean it."""

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum

from toolkit.core import values


class Named(StrEnum):
    MEMBER = "request"


class Mixed(str, Enum):  # noqa: UP042 - as it was spelled before StrEnum; its text is another one
    MEMBER = "request"


class Pure(Enum):
    MEMBER = "request"


class Numbered(IntEnum):
    MEMBER = 7


class Text(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "shown"


NOON = dt.datetime(2024, 2, 3, 12, 0, 0, tzinfo=dt.UTC)
PARIS = dt.timezone(dt.timedelta(hours=2))
DAY = dt.date(2024, 2, 29)
GIVEN: dict[str, Mapping[str, object]] = {
    "an enum": {"text": Named.MEMBER},
    "an enum of texts": {"text": Mixed.MEMBER},
    "a pure enum": {"text": Pure.MEMBER},
    "a kind of text": {"text": Text("request")},
    "an enum of numbers": {"number": Numbered.MEMBER},
    "a Decimal": {"amount": Decimal("12.50")},
    "a Decimal with other places": {"amount": Decimal("12.5")},
    "an instant elsewhere": {"at": NOON.astimezone(PARIS)},
    "a local time": {"at": NOON.replace(tzinfo=None)},
    "a day": {"day": DAY},
}
FACTS: dict[str, object] = {
    "text": "request",
    "number": 7,
    "amount": Decimal("12.50"),
    "at": NOON,
    "day": DAY,
}


def parameters(given: Mapping[str, object]) -> dict[str, object]:
    """As a read path gets them from the router; what is not given, is meant as it is."""
    return {name: values.parameter(one) for name, one in {**FACTS, **given}.items()}
