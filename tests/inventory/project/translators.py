"""The shop's rows as facts about its customers."""

from collections.abc import Iterator

from toolkit import Change, Event, Op, Translators

from . import events as e

acl = Translators("shop")
acl.aggregate("customer", {"CUSTOMERS": "ID", "ADDRESSES": "CUSTOMER_ID"})


@acl.table("CUSTOMERS")
def customer(change: Change) -> Iterator[Event]:
    number = int(change.text("ID"))
    if change.op is Op.DELETE:
        yield e.CustomerForgotten(customer_id=number)
    else:
        name = f"{change['FIRST_NAME']} {change['LAST_NAME']}"
        yield e.CustomerIntroduced(customer_id=number, name=name, email=change.text("EMAIL"))


@acl.table("ADDRESSES")
def address(change: Change) -> Iterator[Event]:
    number, of = int(change.text("ID")), int(change.text("CUSTOMER_ID"))
    if change.op is Op.DELETE:
        yield e.AddressWithdrawn(customer_id=of, address_id=number)
    else:
        yield e.AddressGiven(
            customer_id=of, address_id=number, city=change.text("CITY"), purpose=change.text("TYPE").lower()
        )
