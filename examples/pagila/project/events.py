"""What happens in a DVD rental shop."""

from __future__ import annotations

import datetime as dt

from toolkit import Context, Event

customers = Context("customers")
rentals = Context("rentals")
stock = Context("stock")
places = Context("places")


@customers.event(
    subject="customer_id",
    means="The shop knows this customer by this name and address, and has a store that looks after them.",
    not_implied=["the customer is active"],
)
class CustomerRegistered(Event):
    customer_id: int
    name: str
    address_id: int
    store_id: int


@customers.event(
    subject="customer_id",
    means="The customer may rent from now on.",
    not_implied=["the customer has no overdue rental"],
)
class CustomerActivated(Event):
    customer_id: int


@customers.event(subject="customer_id", means="The customer may not rent any more.")
class CustomerDeactivated(Event):
    customer_id: int


@customers.event(subject="customer_id", means="The customer was struck off the register.")
class CustomerStruckOff(Event):
    customer_id: int


@places.event(subject="address_id", means="An address with its city, as it is written on parcels.")
class AddressRecorded(Event):
    address_id: int
    address: str
    postal_code: str | None
    phone: str
    city_id: int


@places.event(subject="city_id", means="A city in a country.")
class CityRecorded(Event):
    city_id: int
    city: str
    country_id: int


@places.event(subject="country_id", means="A country's name.")
class CountryRecorded(Event):
    country_id: int
    country: str


@stock.event(subject="inventory_id", means="A copy of a film stands in a store.")
class CopyStocked(Event):
    inventory_id: int
    film_id: int


@stock.event(subject="film_id", means="A film is in the catalogue under this title.")
class FilmListed(Event):
    film_id: int
    title: str


@rentals.event(subject="rental_id", means="A customer took a copy home.", not_implied=["it was paid for"])
class FilmRented(Event):
    rental_id: int
    customer_id: int
    inventory_id: int
    rented_at: dt.datetime


@rentals.event(subject="rental_id", means="The copy came back.", not_implied=["it came back in time"])
class FilmReturned(Event):
    rental_id: int
    returned_at: dt.datetime


@rentals.event(subject="rental_id", means="The rental never took place: it was entered by mistake.")
class RentalVoided(Event):
    rental_id: int
