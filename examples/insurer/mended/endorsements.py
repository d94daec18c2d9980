"""Endorsements: changes to a contract that is under way."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import msgspec

from toolkit import Event

from .events import policies

NO_REASON = "not_recorded"
"""What the older endorsements say for a reason: the entry screen did not ask before 2023."""


@policies.event(
    subject="policy_no",
    version=2,
    means="A change to the contract was entered, effective on `effective_on`; `reason` says why, or 'not_recorded'.",
    not_implied=["the change is effective today"],
)
class EndorsementApplied(Event):
    policy_no: str
    endorsement_no: int
    kind: str
    effective_on: dt.date
    premium_delta: Decimal
    reason: str
    entered_on: dt.date


class EndorsementAppliedV1(msgspec.Struct):
    """What version 1 held: `strangler check` makes data of it, and tries the upcaster."""

    policy_no: str
    endorsement_no: int
    kind: str
    effective_on: dt.date
    premium_delta: Decimal
    reason: str | None
    entered_on: dt.date


@policies.upcast(EndorsementApplied, from_version=1, shape=EndorsementAppliedV1)
def say_that_no_reason_was_recorded(data: dict[str, object]) -> dict[str, object]:
    """Before 2023 the entry screen did not ask for a reason, so version 1 may have none."""
    return {**data, "reason": data.get("reason") or NO_REASON}
