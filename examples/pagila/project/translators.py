"""Pagila's rows as facts of the shop."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from toolkit import Change, Event, Op, Translators, Untranslatable

from . import events as e

acl = Translators("pagila")
for _name, _table, _key in (
    ("country", "COUNTRY", "COUNTRY_ID"),
    ("city", "CITY", "CITY_ID"),
    ("address", "ADDRESS", "ADDRESS_ID"),
    ("film", "FILM", "FILM_ID"),
    ("copy", "INVENTORY", "INVENTORY_ID"),
    ("customer", "CUSTOMER", "CUSTOMER_ID"),
    ("rental", "RENTAL", "RENTAL_ID"),
):
    acl.aggregate(_name, {_table: _key})


def _number(change: Change, column: str) -> int:
    return int(str(change[column]))


def _instant(change: Change, column: str) -> dt.datetime:
    return dt.datetime.fromisoformat(change.text(column))


def _refuse_delete(change: Change, what: str) -> None:
    if change.op is Op.DELETE:
        raise Untranslatable(f"{what} was deleted, and the shop never told us what that means")


@acl.table("CUSTOMER")
def customer(change: Change) -> Iterator[Event]:
    """`active` says whether a customer may rent. `activebool` is true for everybody and says nothing."""
    customer_id = _number(change, "CUSTOMER_ID")
    if change.op is Op.DELETE:
        yield e.CustomerStruckOff(customer_id=customer_id)
        return
    if change.changed("FIRST_NAME", "LAST_NAME", "ADDRESS_ID", "STORE_ID"):
        yield e.CustomerRegistered(
            customer_id=customer_id,
            name=f"{change['FIRST_NAME']} {change['LAST_NAME']}",
            address_id=_number(change, "ADDRESS_ID"),
            store_id=_number(change, "STORE_ID"),
        )
    if change.changed("ACTIVE"):
        may_rent = bool(change["ACTIVE"])
        yield (e.CustomerActivated if may_rent else e.CustomerDeactivated)(customer_id=customer_id)


@acl.table("ADDRESS")
def address(change: Change) -> Iterator[Event]:
    _refuse_delete(change, "an address")
    if change.changed("ADDRESS", "POSTAL_CODE", "PHONE", "CITY_ID"):
        postal_code = change["POSTAL_CODE"]
        yield e.AddressRecorded(
            address_id=_number(change, "ADDRESS_ID"),
            address=str(change["ADDRESS"]),
            postal_code=None if postal_code is None else str(postal_code),
            phone=str(change["PHONE"]),
            city_id=_number(change, "CITY_ID"),
        )


@acl.table("CITY")
def city(change: Change) -> Iterator[Event]:
    _refuse_delete(change, "a city")
    if change.changed("CITY", "COUNTRY_ID"):
        country_id = _number(change, "COUNTRY_ID")
        yield e.CityRecorded(
            city_id=_number(change, "CITY_ID"), city=str(change["CITY"]), country_id=country_id
        )


@acl.table("COUNTRY")
def country(change: Change) -> Iterator[Event]:
    _refuse_delete(change, "a country")
    if change.changed("COUNTRY"):
        yield e.CountryRecorded(country_id=_number(change, "COUNTRY_ID"), country=str(change["COUNTRY"]))


@acl.table("FILM")
def film(change: Change) -> Iterator[Event]:
    _refuse_delete(change, "a film")
    if change.changed("TITLE"):
        yield e.FilmListed(film_id=_number(change, "FILM_ID"), title=str(change["TITLE"]))


@acl.table("INVENTORY")
def copy_of_film(change: Change) -> Iterator[Event]:
    _refuse_delete(change, "a copy")
    if change.changed("FILM_ID"):
        yield e.CopyStocked(inventory_id=_number(change, "INVENTORY_ID"), film_id=_number(change, "FILM_ID"))


@acl.table("RENTAL")
def rental(change: Change) -> Iterator[Event]:
    rental_id = _number(change, "RENTAL_ID")
    if change.op is Op.DELETE:
        yield e.RentalVoided(rental_id=rental_id)
        return
    if change.changed("RENTAL_DATE", "CUSTOMER_ID", "INVENTORY_ID"):
        yield e.FilmRented(
            rental_id=rental_id,
            customer_id=_number(change, "CUSTOMER_ID"),
            inventory_id=_number(change, "INVENTORY_ID"),
            rented_at=_instant(change, "RENTAL_DATE"),
        )
    if change["RETURN_DATE"] is not None and change.changed("RETURN_DATE"):
        yield e.FilmReturned(rental_id=rental_id, returned_at=_instant(change, "RETURN_DATE"))
