"""A project that follows Debezium's topics: Flink CDC's products and customers, and an outbox of orders."""

from __future__ import annotations

import sqlite3
from pathlib import Path

EVENTS = """
from toolkit.core.events import Context, Event
from decimal import Decimal

shop = Context("shop")

@shop.event(subject="number", means="The product is so from now on.")
class ProductStated(Event):
    number: str
    name: str
    description: str | None
    weight: Decimal
    extra: str | None

@shop.event(subject="number", means="The product is gone.")
class ProductWithdrawn(Event):
    number: str

@shop.event(subject="number", means="The customer is so from now on.")
class CustomerStated(Event):
    number: str
    name: str
    phone: str

@shop.event(subject="number", means="The order was placed.")
class OrderCreated(Event):
    number: str
    customer: int
    lines: list[str]
    placed_on: str
"""
TRANSLATORS = """
from toolkit.core.changes import Op
from toolkit.core.translators import Translators, payload
from .events import CustomerStated, OrderCreated, ProductStated, ProductWithdrawn

acl = Translators("shop")
acl.aggregate("product", {"products": "id"})
acl.aggregate("customer", {"customers": "id"})
acl.aggregate("order", {"outboxevent": "aggregateid"})

@acl.table("products")
def product(change):
    if change.op is Op.DELETE:
        yield ProductWithdrawn(number=change.subject)
        return
    yield ProductStated(number=change.subject, name=change["NAME"], description=change["DESCRIPTION"],
                        weight=change["WEIGHT"], extra=change["JSON_C"])

@acl.table("customers")
def customer(change):
    yield CustomerStated(number=change.subject, name=change["NAME"], phone=change["PHONE_NUMBER"])

@acl.outbox("outboxevent", "OrderCreated")
def created(change):
    told = payload(change)
    yield OrderCreated(number=change.subject, customer=told["customerId"],
                       lines=[line["item"] for line in told["lineItems"]], placed_on=told["orderDate"])
"""
PROJECTIONS = """
from decimal import Decimal
from toolkit.core.projections import DELETE, Projection, on
from .events import CustomerStated, OrderCreated, ProductStated, ProductWithdrawn

class Products(Projection, version=1, context="web", key="number"):
    number: str
    name: str
    description: str | None = None
    weight: Decimal
    extra: str | None = None

    @on(ProductStated, creates=True)
    def stated(self, event):
        self.name, self.description, self.weight, self.extra = event.name, event.description, event.weight, event.extra

    @on(ProductWithdrawn)
    def withdrawn(self, event):
        return DELETE

class Customers(Projection, version=1, context="web", key="number"):
    number: str
    name: str
    phone: str

    @on(CustomerStated, creates=True)
    def stated(self, event):
        self.name, self.phone = event.name, event.phone

class Orders(Projection, version=1, context="web", key="number"):
    number: str
    customer: int

    @on(OrderCreated, creates=True)
    def created(self, event):
        self.customer = event.customer
"""


def write_shop(
    folder: Path, debezium: str, *, outbox_columns: str = "", subject: str = "aggregateid"
) -> Path:
    """Write the project; `debezium` is the body of its section."""
    sqlite3.connect(folder / "legacy.db").close()
    translators = TRANSLATORS.replace("aggregateid", subject)
    for name, text in (("events", EVENTS), ("translators", translators), ("projections", PROJECTIONS)):
        (folder / f"{name}.py").write_text(text)
    (folder / "strangler.toml").write_text(
        f"""
[project]
name = "shop"
modules = ["events", "translators", "projections"]
[legacy.shop]
url = "sqlite:///legacy.db"
context = "shop"
capture = "debezium"
tables = ["products", "customers"]
outbox = ["outboxevent"]
[legacy.shop.debezium]
{debezium}
{outbox_columns}
[read_store]
url = "sqlite:///read.db"
"""
    )
    return folder
