"""The read models, one bounded context after another. The same word never serves two of them.

Time-dependent answers are not stored: the rows keep the dates, and a read passes `today`.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from toolkit import Projection, on

from . import events as e
from .endorsements import EndorsementApplied


class CustomerPolicy(Projection, version=1, context="customer-service", key="policy_no"):
    """The portal's policy: is the customer covered today, and is there anything to do?"""

    policy_no: str
    customer_no: str
    product: str
    premium: Decimal
    effective_on: dt.date
    expires_on: dt.date
    cancels_on: dt.date | None = None
    ended: bool = False
    rescinded: bool = False
    payment_holds: list[int] = []
    on_hold: bool = False
    last_change_reason: str = "none"

    @on(e.PolicyIssued, creates=True)
    def issued(self, event: e.PolicyIssued) -> None:
        self.customer_no = event.customer_no
        self.product = event.product
        self.premium = event.premium
        self.effective_on = event.effective_on
        self.expires_on = event.expires_on

    @on(e.PolicyRenewed)
    def renewed(self, event: e.PolicyRenewed) -> None:
        self.expires_on = event.expires_on

    @on(e.PremiumAgreed)
    def premium_agreed(self, event: e.PremiumAgreed) -> None:
        self.premium = event.premium

    @on(EndorsementApplied)
    def endorsed(self, event: EndorsementApplied) -> None:
        self.last_change_reason = event.reason  # type: ignore[assignment]  # the older ones have none: they park

    @on(e.PolicyCancellationScheduled)
    def cancellation_scheduled(self, event: e.PolicyCancellationScheduled) -> None:
        self.cancels_on = event.effective_on
        self.ended = True

    @on(e.PolicyCancellationWithdrawn)
    def cancellation_withdrawn(self, event: e.PolicyCancellationWithdrawn) -> None:
        self.cancels_on = None
        self.ended = False

    @on(e.PolicyCancelled, meaning=2)
    def cancelled(self, event: e.PolicyCancelled) -> None:
        self.cancels_on = event.effective_on
        self.ended = True

    @on(e.PolicyRescinded)
    def was_rescinded(self, event: e.PolicyRescinded) -> None:
        self.rescinded = True

    @on(e.PaymentHoldPlaced)
    def hold_placed(self, event: e.PaymentHoldPlaced) -> None:
        self.payment_holds = sorted({*self.payment_holds, event.hold_no})
        self.on_hold = True

    @on(e.BillingReleaseConfirmed)
    def hold_released(self, event: e.BillingReleaseConfirmed) -> None:
        self.payment_holds = [number for number in self.payment_holds if number != event.hold_no]
        self.on_hold = bool(self.payment_holds)


class CustomerContact(Projection, version=1, context="customer-service", key="customer_no"):
    """Whom customer service speaks to."""

    customer_no: str
    name: str
    city: str | None
    email: str | None

    @on(e.CustomerRegistered, creates=True)
    def registered(self, event: e.CustomerRegistered) -> None:
        self.name, self.city, self.email = event.name, event.city, event.email

    @on(e.CustomerMovedHouse)
    def moved(self, event: e.CustomerMovedHouse) -> None:
        self.city = event.city

    @on(e.CustomerContactCorrected)
    def corrected(self, event: e.CustomerContactCorrected) -> None:
        self.name, self.email = event.name, event.email


class AgentCase(Projection, version=1, context="customer-service", key="policy_no"):
    """What an agent has to know to explain a policy on the phone."""

    policy_no: str
    customer_no: str
    effective_on: dt.date
    expires_on: dt.date
    cancels_on: dt.date | None = None
    cancellation_reason: str | None = None
    rescinded: bool = False
    renewals: int = 0
    payment_holds: dict[str, str] = {}
    payment_hold_count: int = 0
    payment_hold_since: dt.date | None = None
    compliance_holds: list[int] = []
    compliance_hold_count: int = 0
    last_endorsement_no: int = 0
    last_endorsement_reason: str | None = None
    last_endorsement_on: dt.date | None = None

    @on(e.PolicyIssued, creates=True)
    def issued(self, event: e.PolicyIssued) -> None:
        self.customer_no = event.customer_no
        self.effective_on = event.effective_on
        self.expires_on = event.expires_on

    @on(e.PolicyRenewed)
    def renewed(self, event: e.PolicyRenewed) -> None:
        self.expires_on, self.renewals = event.expires_on, event.renewals

    @on(e.PolicyCancellationScheduled)
    def cancellation_scheduled(self, event: e.PolicyCancellationScheduled) -> None:
        self.cancels_on, self.cancellation_reason = event.effective_on, event.reason.value

    @on(e.PolicyCancellationWithdrawn)
    def cancellation_withdrawn(self, event: e.PolicyCancellationWithdrawn) -> None:
        self.cancels_on = self.cancellation_reason = None

    @on(e.PolicyCancelled, meaning=2)
    def cancelled(self, event: e.PolicyCancelled) -> None:
        self.cancels_on, self.cancellation_reason = event.effective_on, event.reason.value

    @on(e.PolicyRescinded)
    def was_rescinded(self, event: e.PolicyRescinded) -> None:
        self.rescinded = True

    @on(EndorsementApplied)
    def endorsed(self, event: EndorsementApplied) -> None:
        if event.endorsement_no > self.last_endorsement_no:
            self.last_endorsement_no = event.endorsement_no
            self.last_endorsement_reason = event.reason.lower()  # type: ignore[union-attr]  # and so do these
            self.last_endorsement_on = event.effective_on

    @on(e.PaymentHoldPlaced)
    def payment_hold_placed(self, event: e.PaymentHoldPlaced) -> None:
        self._payment_holds({**self.payment_holds, str(event.hold_no): event.placed_on.isoformat()})

    @on(e.PaymentHoldReleased)
    def payment_hold_released(self, event: e.PaymentHoldReleased) -> None:
        released = str(event.hold_no)
        self._payment_holds({no: since for no, since in self.payment_holds.items() if no != released})

    def _payment_holds(self, holds: dict[str, str]) -> None:
        self.payment_holds = holds
        self.payment_hold_count = len(holds)
        self.payment_hold_since = dt.date.fromisoformat(min(holds.values())) if holds else None

    @on(e.ComplianceHoldPlaced)
    def compliance_hold_placed(self, event: e.ComplianceHoldPlaced) -> None:
        self.compliance_holds = sorted({*self.compliance_holds, event.hold_no})
        self.compliance_hold_count = len(self.compliance_holds)

    @on(e.ComplianceHoldReleased)
    def compliance_hold_released(self, event: e.ComplianceHoldReleased) -> None:
        self.compliance_holds = [number for number in self.compliance_holds if number != event.hold_no]
        self.compliance_hold_count = len(self.compliance_holds)


class Claim(Projection, version=1, context="claims", key="claim_no"):
    """A claim as it was notified, and how far its handling has come."""

    claim_no: str
    policy_no: str
    loss_on: dt.date
    amount: Decimal
    state: str

    @on(e.ClaimNotified, creates=True)
    def notified(self, event: e.ClaimNotified) -> None:
        self.policy_no, self.loss_on = event.policy_no, event.loss_on
        self.amount, self.state = event.amount, event.state

    @on(e.ClaimAdvanced)
    def advanced(self, event: e.ClaimAdvanced) -> None:
        self.amount, self.state = event.amount, event.state


class ClaimCover(Projection, version=1, context="claims", key="policy_no"):
    """What decides about cover on the day of a loss. Good enough to look at, not to pay from."""

    policy_no: str
    effective_on: dt.date
    expires_on: dt.date
    cancels_on: dt.date | None = None
    rescinded: bool = False
    holds: list[str] = []
    payment_holds: int = 0
    compliance_holds: int = 0
    billed: bool = False
    paid_to: dt.date | None = None

    @on(e.PolicyIssued, creates=True)
    def issued(self, event: e.PolicyIssued) -> None:
        self.effective_on, self.expires_on = event.effective_on, event.expires_on

    @on(e.PolicyRenewed)
    def renewed(self, event: e.PolicyRenewed) -> None:
        self.expires_on = event.expires_on

    @on(e.PolicyCancellationScheduled)
    def cancellation_scheduled(self, event: e.PolicyCancellationScheduled) -> None:
        self.cancels_on = event.effective_on

    @on(e.PolicyCancellationWithdrawn)
    def cancellation_withdrawn(self, event: e.PolicyCancellationWithdrawn) -> None:
        self.cancels_on = None

    @on(e.PolicyCancelled, meaning=2)
    def cancelled(self, event: e.PolicyCancelled) -> None:
        self.cancels_on = event.effective_on

    @on(e.PolicyRescinded)
    def was_rescinded(self, event: e.PolicyRescinded) -> None:
        self.rescinded = True

    @on(e.BillingLinked)
    def linked(self, event: e.BillingLinked) -> None:
        self.billed, self.paid_to = True, event.paid_to

    @on(e.PremiumSettled)
    def settled(self, event: e.PremiumSettled) -> None:
        self.paid_to = event.paid_to

    @on(e.PaymentHoldPlaced)
    def payment_hold_placed(self, event: e.PaymentHoldPlaced) -> None:
        self._holds({*self.holds, f"payment/{event.hold_no}"})

    @on(e.PaymentHoldReleased)
    def payment_hold_released(self, event: e.PaymentHoldReleased) -> None:
        self._holds({*self.holds} - {f"payment/{event.hold_no}"})

    @on(e.ComplianceHoldPlaced)
    def compliance_hold_placed(self, event: e.ComplianceHoldPlaced) -> None:
        self._holds({*self.holds, f"compliance/{event.hold_no}"})

    @on(e.ComplianceHoldReleased)
    def compliance_hold_released(self, event: e.ComplianceHoldReleased) -> None:
        self._holds({*self.holds} - {f"compliance/{event.hold_no}"})

    def _holds(self, holds: set[str]) -> None:
        self.holds = sorted(holds)
        self.payment_holds = len([hold for hold in self.holds if hold.startswith("payment/")])
        self.compliance_holds = len(self.holds) - self.payment_holds


class ComplianceHold(Projection, version=1, context="compliance", key="hold_id"):
    """One regulatory hold and its review. Whether cover runs does not settle whether a review is owed."""

    hold_id: str
    policy_no: str
    hold_no: int
    placed_on: dt.date
    reason: str
    review: str
    standing: bool = True

    @on(e.ComplianceHoldPlaced, creates=True)
    def placed(self, event: e.ComplianceHoldPlaced) -> None:
        self.policy_no, self.hold_no = event.policy_no, event.hold_no
        self.placed_on, self.reason, self.review = event.placed_on, event.reason, event.review

    @on(e.ComplianceReviewAdvanced)
    def advanced(self, event: e.ComplianceReviewAdvanced) -> None:
        self.review = event.review

    @on(e.ComplianceHoldReleased)
    def released(self, event: e.ComplianceHoldReleased) -> None:
        self.standing = False


class Portfolio(Projection, version=1, context="distribution", key="policy_no"):
    """A policy as its broker counts it: cover that runs earns commission, hold or no hold."""

    policy_no: str
    broker_code: str | None
    product: str
    premium: Decimal
    effective_on: dt.date
    expires_on: dt.date
    expires_day: int
    cancels_on: dt.date | None = None
    rescinded: bool = False
    payment_holds: list[int] = []
    on_hold: bool = False

    @on(e.PolicyIssued, creates=True)
    def issued(self, event: e.PolicyIssued) -> None:
        self.broker_code, self.product, self.premium = event.broker_code, event.product, event.premium
        self.effective_on = event.effective_on
        self._expires(event.expires_on)

    def _expires(self, day: dt.date) -> None:
        self.expires_on, self.expires_day = day, day.toordinal()

    @on(e.PolicyRenewed)
    def renewed(self, event: e.PolicyRenewed) -> None:
        self._expires(event.expires_on)

    @on(e.PremiumAgreed)
    def premium_agreed(self, event: e.PremiumAgreed) -> None:
        self.premium = event.premium

    @on(e.PolicyCancellationScheduled)
    def cancellation_scheduled(self, event: e.PolicyCancellationScheduled) -> None:
        self.cancels_on = event.effective_on

    @on(e.PolicyCancellationWithdrawn)
    def cancellation_withdrawn(self, event: e.PolicyCancellationWithdrawn) -> None:
        self.cancels_on = None

    @on(e.PolicyCancelled, meaning=2)
    def cancelled(self, event: e.PolicyCancelled) -> None:
        self.cancels_on = event.effective_on

    @on(e.PolicyRescinded)
    def was_rescinded(self, event: e.PolicyRescinded) -> None:
        self.rescinded = True

    @on(e.PaymentHoldPlaced)
    def hold_placed(self, event: e.PaymentHoldPlaced) -> None:
        self.payment_holds = sorted({*self.payment_holds, event.hold_no})
        self.on_hold = True

    @on(e.PaymentHoldReleased)
    def hold_released(self, event: e.PaymentHoldReleased) -> None:
        self.payment_holds = [number for number in self.payment_holds if number != event.hold_no]
        self.on_hold = bool(self.payment_holds)


class Broker(Projection, version=1, context="distribution", key="broker_code"):
    """Brokers on file; also those that were terminated, whose book runs on."""

    broker_code: str
    name: str
    terminated: bool = False

    @on(e.BrokerAppointed, creates=True)
    def appointed(self, event: e.BrokerAppointed) -> None:
        self.name = event.name

    @on(e.BrokerTerminated)
    def was_terminated(self, event: e.BrokerTerminated) -> None:
        self.terminated = True
