"""What the rows of the benchmark say."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from toolkit import Context, Event

policies = Context("policies")


@policies.event(subject="policy_no", means="The policy stands so from now on.")
class PolicyStated(Event):
    policy_no: str
    status: str
    premium: Decimal
    note: str
    effective_on: dt.date
    agent: int


@policies.event(subject="policy_no", means="The endorsement stands so from now on.")
class EndorsementStated(Event):
    policy_no: str
    number: int
    kind: str
    amount: Decimal
    effective_on: dt.date
