"""The portal's policy, mended: what the shadow run found wrong with version 1 is overridden, the rest is kept."""

from __future__ import annotations

from toolkit import on

from . import events as e
from .projections import CustomerPolicy


class CustomerPolicyV2(
    CustomerPolicy, version=2, context="customer-service", key="policy_no", name="customer_policy"
):
    """Version 2. A cancellation in the future ends nothing today, and a hold ends when it is released."""

    @on(e.PolicyCancellationScheduled)
    def cancellation_scheduled(self, event: e.PolicyCancellationScheduled) -> None:
        self.cancels_on = event.effective_on

    @on(e.PaymentHoldReleased)
    def hold_released(self, event: e.PaymentHoldReleased) -> None:
        self.payment_holds = [number for number in self.payment_holds if number != event.hold_no]
        self.on_hold = bool(self.payment_holds)
