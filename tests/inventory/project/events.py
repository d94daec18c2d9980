"""What the shop knows of its customers."""

from toolkit import Context, Event

customers = Context("customers")


@customers.event(subject="customer_id", means="The customer goes by this name and this address of mail.")
class CustomerIntroduced(Event):
    customer_id: int
    name: str
    email: str


@customers.event(subject="customer_id", means="The shop forgot the customer.")
class CustomerForgotten(Event):
    customer_id: int


@customers.event(subject="customer_id", means="This is where the customer is reached for this purpose.")
class AddressGiven(Event):
    customer_id: int
    address_id: int
    city: str
    purpose: str


@customers.event(subject="customer_id", means="The customer is not reached there any more.")
class AddressWithdrawn(Event):
    customer_id: int
    address_id: int
