"""Endorsements: changes to a contract that is under way."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from toolkit import Event

from .events import policies

NO_REASON: str | None = None
"""What the older endorsements say for a reason: the entry screen did not ask before 2023."""


@policies.event(
    subject="policy_no",
    means="A change to the contract was entered, effective on `effective_on`.",
    not_implied=["the change is effective today", "a reason was recorded"],
)
class EndorsementApplied(Event):
    policy_no: str
    endorsement_no: int
    kind: str
    effective_on: dt.date
    premium_delta: Decimal
    reason: str | None
    entered_on: dt.date
