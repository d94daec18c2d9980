"""One event for each row."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal

from toolkit import Change, Event, Translators

from .events import EndorsementStated, PolicyStated

acl = Translators("bench")
acl.aggregate("policy", {"policy": "pol_no", "endorsement": "pol_no"})


@acl.table("policy")
def policy(change: Change) -> Iterator[Event]:
    yield PolicyStated(
        policy_no=change.subject,
        status=change.text("STAT"),
        premium=Decimal(str(change["PREM"])),
        note=change.text("NOTE"),
        effective_on=dt.date.fromisoformat(str(change["EFF"])),
        agent=int(str(change["AGENT"])),
    )


@acl.table("endorsement")
def endorsement(change: Change) -> Iterator[Event]:
    yield EndorsementStated(
        policy_no=change.subject,
        number=int(str(change["END_NO"])),
        kind=change.text("KIND"),
        amount=Decimal(str(change["AMOUNT"])),
        effective_on=dt.date.fromisoformat(str(change["EFF"])),
    )
