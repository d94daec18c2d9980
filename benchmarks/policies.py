"""Events of about 600 bytes on so many policies, and a read model of them: what the projector's benchmarks use."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterator
from decimal import Decimal

import msgspec

from toolkit import Event, Projection, on
from toolkit.core.events import Catalogue, Context
from toolkit.core.records import Draft, Envelope, Record, event_id, partition_of

policies = Context("policies")
SOURCE = "policy_admin"
_NOTE = "n" * 250


@policies.event(subject="policy_no", means="The contract stands so from now on.")
class TermsAgreed(Event):
    policy_no: str
    holder: str
    premium: Decimal
    since: dt.date
    status: str
    note: str


CATALOGUE = Catalogue.of([policies])


class PolicyView(Projection, version=1, context="policies", key="policy_no"):
    policy_no: str
    holder: str
    premium: Decimal
    since: dt.date
    status: str
    agreements: int = 0

    @on(TermsAgreed, creates=True)
    def agreed(self, event: TermsAgreed) -> None:
        self.holder, self.premium = event.holder, event.premium
        self.since, self.status = event.since, event.status
        self.agreements += 1


def records(count: int, keys: int, partitions: int, batch: int) -> Iterator[list[Record]]:
    """So many events in batches, by a seed: the same every time. About so many policies; 0: each about another one."""
    chance, sequences = random.Random(7), dict.fromkeys(range(partitions), 0)
    made: list[Record] = []
    for number in range(count):
        draft = _draft(number, chance.randrange(keys) if keys else number)
        partition = partition_of(draft.envelope.subject, partitions)
        sequences[partition] += 1
        made.append(
            Record(
                envelope=draft.envelope,
                data=draft.data,
                partition=partition,
                sequence=sequences[partition],
            )
        )
        if len(made) == batch:
            yield made
            made = []
    if made:
        yield made


def _draft(number: int, key: int) -> Draft:
    policy, position = f"P{key:09}", f"change:{number}"
    event = TermsAgreed(
        policy_no=policy,
        holder=f"Holder {key}",
        premium=Decimal(10_000 + number % 90_000) / 100,
        since=dt.date(2024, 1, 1 + number % 28),
        status=("in_force", "held", "cancelled")[number % 3],
        note=_NOTE,
    )
    envelope = Envelope(
        id=event_id(SOURCE, position, "TermsAgreed", 0),
        source=SOURCE,
        type="TermsAgreed",
        subject=policy,
        time=dt.datetime(2024, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=number),
        version=1,
        meaning=1,
        position=position,
        transaction=str(number),
    )
    return Draft(envelope=envelope, data=msgspec.json.encode(event))
