"""Customers and their addresses as the service desk reads them."""

from toolkit import DELETE, Projection, on
from toolkit.core.projections import Verb

from . import events as e


class CustomerEntry(Projection, version=1, context="customers", key="customer_id"):
    customer_id: int
    name: str
    email: str

    @on(e.CustomerIntroduced, creates=True)
    def introduced(self, event: e.CustomerIntroduced) -> None:
        self.name, self.email = event.name, event.email

    @on(e.CustomerForgotten)
    def forgotten(self, event: e.CustomerForgotten) -> Verb:
        return DELETE


class AddressEntry(Projection, version=1, context="customers", key="address_id"):
    address_id: int
    customer_id: int
    city: str
    purpose: str

    @on(e.AddressGiven, creates=True)
    def given(self, event: e.AddressGiven) -> None:
        self.customer_id, self.city, self.purpose = event.customer_id, event.city, event.purpose

    @on(e.AddressWithdrawn)
    def withdrawn(self, event: e.AddressWithdrawn) -> Verb:
        return DELETE
