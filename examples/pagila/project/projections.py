"""Pagila's read models: a customer list, and what a customer has at home."""

from __future__ import annotations

import datetime as dt

from toolkit import DELETE, Projection, on
from toolkit.core.projections import Verb

from . import events as e


class CustomerEntry(Projection, version=1, context="customers", key="customer_id"):
    customer_id: int
    name: str
    address_id: int
    store_id: int
    may_rent: bool = False

    @on(e.CustomerRegistered, creates=True)
    def registered(self, event: e.CustomerRegistered) -> None:
        self.name, self.address_id, self.store_id = event.name, event.address_id, event.store_id

    @on(e.CustomerActivated)
    def activated(self, event: e.CustomerActivated) -> None:
        self.may_rent = True

    @on(e.CustomerDeactivated)
    def deactivated(self, event: e.CustomerDeactivated) -> None:
        self.may_rent = False

    @on(e.CustomerStruckOff)
    def struck_off(self, event: e.CustomerStruckOff) -> Verb:
        return DELETE


class Address(Projection, version=1, context="customers", key="address_id", name="address_entry"):
    address_id: int
    address: str
    postal_code: str | None
    phone: str
    city_id: int

    @on(e.AddressRecorded, creates=True)
    def recorded(self, event: e.AddressRecorded) -> None:
        self.address, self.postal_code = event.address, event.postal_code
        self.phone, self.city_id = event.phone, event.city_id


class City(Projection, version=1, context="customers", key="city_id", name="city_entry"):
    city_id: int
    city: str
    country_id: int

    @on(e.CityRecorded, creates=True)
    def recorded(self, event: e.CityRecorded) -> None:
        self.city, self.country_id = event.city, event.country_id


class Country(Projection, version=1, context="customers", key="country_id", name="country_entry"):
    country_id: int
    country: str

    @on(e.CountryRecorded, creates=True)
    def recorded(self, event: e.CountryRecorded) -> None:
        self.country = event.country


class Title(Projection, version=1, context="rentals", key="film_id"):
    film_id: int
    title: str

    @on(e.FilmListed, creates=True)
    def listed(self, event: e.FilmListed) -> None:
        self.title = event.title


class Copy(Projection, version=1, context="rentals", key="inventory_id", name="film_copy"):
    inventory_id: int
    film_id: int

    @on(e.CopyStocked, creates=True)
    def stocked(self, event: e.CopyStocked) -> None:
        self.film_id = event.film_id


class OpenRental(Projection, version=1, context="rentals", key="rental_id"):
    """What customers have at home. A returned rental is kept: it may turn out not to have come back."""

    rental_id: int
    customer_id: int
    inventory_id: int
    rented_at: dt.datetime
    returned: bool = False

    @on(e.FilmRented, creates=True)
    def rented(self, event: e.FilmRented) -> None:
        self.customer_id, self.inventory_id = event.customer_id, event.inventory_id
        self.rented_at = event.rented_at

    @on(e.FilmReturned)
    def was_returned(self, event: e.FilmReturned) -> None:
        self.returned = True

    @on(e.RentalVoided)
    def voided(self, event: e.RentalVoided) -> Verb:
        return DELETE
