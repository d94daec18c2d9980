"""What happens in the insurer's business, in its own words.

Each event says what it means and what it does not imply: most wrong views begin with a conclusion of the second kind.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from enum import StrEnum

from toolkit import Context, Event

policies = Context("policy-administration")
billing = Context("billing")
customers = Context("customer-records")
brokers = Context("distribution")
claims = Context("claims")
compliance = Context("compliance")


class CancellationReason(StrEnum):
    CUSTOMER_REQUEST = "customer_request"
    NON_PAYMENT = "non_payment"
    SOLD = "object_sold"
    UNDERWRITING = "underwriting"
    UNKNOWN = "not_recorded"


@policies.event(
    subject="policy_no",
    means="The contract exists: the insurer has accepted the risk on these terms.",
    not_implied=["the policy is in force today", "a premium was paid"],
)
class PolicyIssued(Event):
    policy_no: str
    customer_no: str
    broker_code: str | None
    product: str
    premium: Decimal
    issued_on: dt.date
    effective_on: dt.date
    expires_on: dt.date


@policies.event(
    subject="policy_no",
    means="The night run has put the policy in force.",
    not_implied=["cover did not exist earlier on its effective date", "no hold stands"],
)
class PolicyCameIntoForce(Event):
    policy_no: str


@policies.event(
    subject="policy_no",
    means="The term was extended until `expires_on`; `renewals` counts the extensions so far.",
    not_implied=["the policy is not on hold", "the renewal premium was paid"],
)
class PolicyRenewed(Event):
    policy_no: str
    expires_on: dt.date
    renewals: int


@policies.event(
    subject="policy_no",
    means="The yearly premium of the contract is now `premium`, in the contract's currency.",
    not_implied=["it has been invoiced"],
)
class PremiumAgreed(Event):
    policy_no: str
    premium: Decimal


@policies.event(
    subject="policy_no",
    means="Cover ends on `effective_on`; until that day nothing changes.",
    not_implied=["the policy is inactive today", "the cancellation is final: it can be withdrawn"],
)
class PolicyCancellationScheduled(Event):
    policy_no: str
    effective_on: dt.date
    reason: CancellationReason


@policies.event(subject="policy_no", means="A scheduled cancellation will not happen after all.")
class PolicyCancellationWithdrawn(Event):
    policy_no: str


@policies.event(
    subject="policy_no",
    meaning=2,
    means="The policy is cancelled: cover has ended, with effect from `effective_on`.",
    not_implied=["claims with an earlier loss date are void"],
)
class PolicyCancelled(Event):
    policy_no: str
    effective_on: dt.date
    reason: CancellationReason


policies.formerly(
    PolicyCancelled,
    meaning=1,
    means="A cancellation was entered, to take effect on `effective_on`.",
    not_implied=[
        "cover has ended: that day may lie in the future",
        "it is final: nothing said so when it was withdrawn",
    ],
)


@policies.mapping(
    PolicyCancelled,
    from_meaning=1,
    to_meaning=2,
    loses="whether cover had ended when it was said; the date tells",
)
def entered_is_cancelled_on_its_day(event: PolicyCancelled) -> PolicyCancelled:
    """Before `PolicyCancellationScheduled` there was one event for both. Who keeps the date and asks for a day is right."""
    return event


@policies.event(
    subject="policy_no",
    means="The contract is void from its beginning: as if it had never been.",
    not_implied=["it was cancelled: a cancellation leaves the past as it was"],
)
class PolicyRescinded(Event):
    policy_no: str
    effective_on: dt.date


@policies.event(subject="policy_no", means="The term ran out and was not renewed.")
class PolicyLapsed(Event):
    policy_no: str


@billing.event(
    subject="policy_no",
    means="The policy is collected from this billing account.",
    not_implied=["anything was collected"],
)
class BillingLinked(Event):
    policy_no: str
    account_no: str
    method: str
    paid_to: dt.date | None


@billing.event(
    subject="policy_no",
    means="Premiums are settled up to and including `paid_to`.",
    not_implied=["cover ends on that day"],
)
class PremiumSettled(Event):
    policy_no: str
    paid_to: dt.date | None


@billing.event(
    subject="policy_no",
    means="The customer pays by another method from now on.",
    not_implied=["the new method has worked once"],
)
class PaymentMethodChanged(Event):
    policy_no: str
    method: str


@billing.event(
    subject="policy_no",
    means="A payment hold stands on the policy from `placed_on`.",
    not_implied=["the policy is cancelled", "it is the only hold"],
)
class PaymentHoldPlaced(Event):
    policy_no: str
    hold_no: int
    placed_on: dt.date
    reason: str


@billing.event(
    subject="policy_no",
    means="This payment hold no longer stands.",
    not_implied=["no other hold stands", "the customer knows"],
)
class PaymentHoldReleased(Event):
    policy_no: str
    hold_no: int
    released_on: dt.date


@billing.event(
    subject="policy_no",
    means="The billing bridge has told the customer that a payment hold is gone. It runs in batches, after the fact.",
    not_implied=["the hold stood until now"],
)
class BillingReleaseConfirmed(Event):
    policy_no: str
    hold_no: int


@compliance.event(
    subject="policy_no",
    means="Compliance has asked for this policy to be reviewed; the regulator's clock runs from `placed_on`.",
    not_implied=["cover is suspended", "the customer may be told"],
)
class ComplianceHoldPlaced(Event):
    policy_no: str
    hold_id: str
    hold_no: int
    placed_on: dt.date
    reason: str
    review: str


@compliance.event(subject="policy_no", means="The review of a standing compliance hold moved on.")
class ComplianceReviewAdvanced(Event):
    policy_no: str
    hold_id: str
    hold_no: int
    review: str


@compliance.event(
    subject="policy_no",
    means="The compliance hold was lifted.",
    not_implied=["the review found nothing"],
)
class ComplianceHoldReleased(Event):
    policy_no: str
    hold_id: str
    hold_no: int
    released_on: dt.date


@customers.event(
    subject="customer_no", means="The customer is on record with this name and these contact data."
)
class CustomerRegistered(Event):
    customer_no: str
    name: str
    address: str | None
    city: str | None
    postcode: str | None
    email: str | None


@customers.event(subject="customer_no", means="The customer lives at another address from now on.")
class CustomerMovedHouse(Event):
    customer_no: str
    address: str | None
    city: str | None
    postcode: str | None


@customers.event(
    subject="customer_no", means="The customer is reached by another name or e-mail address from now on."
)
class CustomerContactCorrected(Event):
    customer_no: str
    name: str
    email: str | None


@brokers.event(
    subject="broker_code",
    means="The broker may sell the insurer's policies.",
    not_implied=["it has sold any"],
)
class BrokerAppointed(Event):
    broker_code: str
    name: str


@brokers.event(
    subject="broker_code",
    means="The broker sells no more for the insurer.",
    not_implied=["its policies end"],
)
class BrokerTerminated(Event):
    broker_code: str


@claims.event(
    subject="claim_no",
    means="Somebody told the insurer of a loss.",
    not_implied=["the policy covered it", "it will be paid"],
)
class ClaimNotified(Event):
    claim_no: str
    policy_no: str
    loss_on: dt.date
    notified_on: dt.date
    amount: Decimal
    state: str


@claims.event(subject="claim_no", means="The handling of the claim moved to `state`, its amount to `amount`.")
class ClaimAdvanced(Event):
    claim_no: str
    state: str
    amount: Decimal
