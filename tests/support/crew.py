"""Projections that may be shared, and what several processes need to follow them together."""

import datetime as dt
from decimal import Decimal

from tests.support.read_store import CATALOGUE, PolicyIssued, PolicyView, PremiumAgreed
from toolkit.core.apart import Apart
from toolkit.core.projections import Definition, Projection, on
from toolkit.loops.keeping import Pace
from toolkit.loops.leased import members
from toolkit.loops.wanted import Wanted
from toolkit.loops.worker import Worker, strayed
from toolkit.ports import LeaseList, Leases, Log, ReadStore, Serving

PARTITIONS = 4
TTL = dt.timedelta(seconds=2)
SESSION = {"session.timeout.ms": "2000", "heartbeat.interval.ms": "200"}


class PolicyTally(Projection, version=1, context="sales", key="policy_no"):
    """Counting: an event applied twice, or not at all, would show."""

    policy_no: str
    changes: int = 0
    premiums: Decimal = Decimal(0)

    @on(PolicyIssued, creates=True)
    def issued(self, event: PolicyIssued) -> None:
        self.premiums += event.premium
        self.changes += 1

    @on(PremiumAgreed)
    def agreed(self, event: PremiumAgreed) -> None:
        self.premiums += event.premium
        self.changes += 1


class PolicyTallyAnew(PolicyTally, version=2, context="sales", key="policy_no", name="policy_tally"):
    """The same, built afresh."""


class PolicyViewAnew(PolicyView, version=2, context="service", key="policy_no", name="policy_view"):
    """The same, built afresh."""


TALLY, VIEW = PolicyTally.definition, PolicyView.definition
ANEW = {"policy_tally": PolicyTallyAnew.definition, "policy_view": PolicyViewAnew.definition}


def clock() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class NothingDecided:
    """A ports.ServingLedger of a project whose read store was never lost."""

    def latest(self, _projection: str) -> None:
        return None

    def history(self, _projection: str) -> list[Serving]:
        return []

    def note(self, one: Serving) -> None:
        raise AssertionError(f"nobody decides here: {one}")


def worker(
    definition: Definition,
    store: ReadStore,
    log: Log,
    topic: str,
    leases: Leases,
    known: LeaseList,
    owner: str,
) -> Worker:
    """As the app would make it, in more of a hurry."""
    topics = {topic: PARTITIONS}

    member = members(log, definition, topics, leases, known, owner, clock, look_every=0.1, ttl=TTL)
    pace = Pace(smallest=20, largest=200, patience=0.1)
    stray = strayed(Apart(definition, CATALOGUE, {"policy_admin": "policy-administration"}), topic)

    versions = Wanted({definition.name: {1: definition}}, store, NothingDecided(), owner, clock)

    return Worker(
        definition,
        CATALOGUE,
        store,
        topics,
        stray,
        member,
        leases,
        known,
        owner,
        clock,
        pace,
        look_every=0.1,
        left=lambda: versions.left(definition),
    )
