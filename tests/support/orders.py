"""Orders and their lines: one event states many rows of one parent, or speaks of all that there are."""

from decimal import Decimal
from typing import Any

import msgspec

from toolkit.core.events import Catalogue, Context, Event
from toolkit.core.projections import DELETE, Projection, Verb, on

orders = Context("orders")


class Line(msgspec.Struct, frozen=True):
    line_no: int
    article: str
    price: Decimal = Decimal("1.00")


@orders.event(subject="order_no", means="These are the lines of the order, all of them.")
class OrderPlaced(Event):
    order_no: str
    lines: list[Line] | None


@orders.event(subject="order_no", means="These lines are new, or are other ones now.")
class LinesAdded(Event):
    order_no: str
    lines: list[Line]


@orders.event(subject="order_no", means="The line is on its way.")
class LineShipped(Event):
    order_no: str
    line: int


@orders.event(subject="order_no", means="Nothing of the order leaves the house from now on, or it may again.")
class OrderHeld(Event):
    order_no: str
    held: bool = True


@orders.event(subject="order_no", means="There is no such order.")
class OrderWithdrawn(Event):
    order_no: str


@orders.event(subject="order_no", means="The order has these tags.")
class OrderTagged(Event):
    order_no: str
    tags: list[str]


@orders.event(subject="order_no", means="The order is carried by way of these places.")
class OrderRouted(Event):
    order_no: str
    stops: list[dict[str, Any]]


ORDERS = Catalogue.of([orders])


class OrderLine(Projection, version=1, context="shipping", key=("order_no", "line_no"), indexes=["article"]):
    """Each handler counts, so that an event applied twice, or not at all, would show."""

    order_no: str
    line_no: int
    article: str = ""
    price: Decimal = Decimal(0)
    shipped: bool = False
    held: bool = False
    changes: int = 0

    @on(OrderPlaced, creates=True, each="lines", whole=True, key=("order_no", "each.line_no"))
    def placed(self, event: OrderPlaced, line: Line) -> None:
        self._take(line)

    @on(LinesAdded, creates=True, each="lines", key=("order_no", "each.line_no"))
    def added(self, event: LinesAdded, line: Line) -> None:
        self._take(line)

    @on(LineShipped, key=("order_no", "line"))
    def sent(self, event: LineShipped) -> None:
        self.shipped = True
        self.changes += 1

    @on(OrderHeld, every=True, key="order_no")
    def hold(self, event: OrderHeld) -> None:
        if self.article == "unholdable":
            raise ValueError("it left already")
        self.held = event.held
        self.changes += 1

    @on(OrderWithdrawn, every=True, key="order_no")
    def withdrawn(self, event: OrderWithdrawn) -> Verb:
        return DELETE

    def _take(self, line: Line) -> None:
        if line.price < 0:
            raise ValueError("a price is not negative")
        self.article, self.price = line.article, line.price
        self.changes += 1


class OrderTag(Projection, version=1, context="shipping", key=("order_no", "tag")):
    order_no: str
    tag: str

    @on(OrderTagged, creates=True, each="tags", whole=True, key=("order_no", "each"))
    def tagged(self, event: OrderTagged, tag: str) -> None: ...


class OrderStop(Projection, version=1, context="shipping", key=("order_no", "number")):
    order_no: str
    number: int
    city: str

    @on(OrderRouted, creates=True, each="stops", whole=True, key=("order_no", "each.#"))
    def routed(self, event: OrderRouted, stop: dict[str, Any]) -> None:
        self.city = stop["city"]


LINE = OrderLine.definition
TAG = OrderTag.definition
STOP = OrderStop.definition
