"""Which projections several processes can write apart: those whose keys tell the subject of every event."""

import datetime as dt

import pytest

from tests.support.crew import TALLY, VIEW
from tests.support.read_store import BOOK, CATALOGUE
from toolkit.core.apart import Apart
from toolkit.core.errors import ProjectError
from toolkit.core.events import Catalogue, Context, Event
from toolkit.core.projections import Definition, Projection, on

ONE = {"policy_admin": "policy-administration"}
orders = Context("orders")
stock = Context("stock")


@orders.event(subject=("region", "order_no"), means="The line is so.")
class LineStated(Event):
    order_no: int
    region: str
    line_no: int
    parts: list[int]


@orders.event(subject=("order_no", "region"), means="Its subject is spelled the other way round.")
class LineTurned(Event):
    order_no: int
    region: str
    line_no: int


@orders.event(subject="at", means="Something at an instant.")
class Struck(Event):
    at: dt.datetime


@stock.event(subject="order_no", means="Goods were taken for it.")
class GoodsTaken(Event):
    order_no: str


ORDERS = Catalogue.of([orders, stock])


class Line(Projection, version=1, context="web", key=("order_no", "line_no", "region")):
    order_no: int
    line_no: int
    region: str

    @on(LineStated, creates=True)
    def stated(self, event: LineStated) -> None:
        """Nothing but its key."""


class TurnedLine(Line, version=1, context="web", key=("order_no", "line_no", "region")):
    @on(LineTurned)
    def turned(self, event: LineTurned) -> None:
        """Nothing but its key."""


class Part(Projection, version=1, context="web", key=("order_no", "region", "part")):
    order_no: int
    region: str
    part: int

    @on(LineStated, creates=True, each="parts", key=("order_no", "region", "each"))
    def stated(self, event: LineStated, part: int) -> None:
        """Nothing but its key."""


class Strike(Projection, version=1, context="web", key="at"):
    at: dt.datetime

    @on(Struck, creates=True)
    def struck(self, event: Struck) -> None:
        """Nothing but its key."""


class Both(Projection, version=1, context="web", key="order_no"):
    order_no: str

    @on(GoodsTaken, creates=True)
    def taken(self, event: GoodsTaken) -> None:
        """Nothing but its key."""


def refusal(definition: Definition, catalogue: Catalogue, sources: dict[str, str]) -> str:
    with pytest.raises(ProjectError) as raised:
        Apart(definition, catalogue, sources)
    return str(raised.value)


def test_a_row_for_each_subject_can_be_shared() -> None:
    for definition in (TALLY, VIEW):
        assert Apart(definition, CATALOGUE, ONE).subject("P-1") == "P-1"


def test_the_parts_of_a_subject_may_stand_anywhere_in_the_key() -> None:
    assert Apart(Line.definition, ORDERS, {"crm": "orders"}).subject((7, 1, "a/b")) == "a%2Fb/7"


def test_children_are_shared_by_the_subject_in_their_parents_key() -> None:
    assert Apart(Part.definition, ORDERS, {"crm": "orders"}).subject((7, "north")) == "north/7"


def test_a_row_that_many_subjects_feed_is_refused() -> None:
    said = refusal(BOOK, CATALOGUE, ONE)
    assert "PolicyIssued is about the subject policy_no, which does not stand in the key" in said
    assert "one process follows it" in said


def test_events_that_tell_the_subject_by_other_columns_are_refused() -> None:
    said = refusal(TurnedLine.definition, ORDERS, {"crm": "orders"})
    assert "LineStated by region, order_no, LineTurned by order_no, region" in said


def test_an_instant_tells_no_subject() -> None:
    assert "at tells no subject" in refusal(Strike.definition, ORDERS, {"crm": "orders"})


def test_events_of_one_context_come_by_one_topic_or_are_refused() -> None:
    assert Apart(Both.definition, ORDERS, {"crm": "orders", "depot": "stock"}).source == "depot"
    both = refusal(Both.definition, ORDERS, {"north": "stock", "south": "stock"})
    assert "come from north, south" in both
    assert "no [legacy] section names" in refusal(Both.definition, ORDERS, {"a": "x", "b": "y"})
