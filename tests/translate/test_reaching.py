"""Which views a parked change is missing from: those made of events that its table's rules can give."""

from collections.abc import Iterator

from toolkit.core.changes import Change
from toolkit.core.events import Catalogue, Context, Event
from toolkit.core.translators import Translators
from toolkit.loops.reaching import Reach, events_of

context = Context("underwriting")


@context.event(subject="policy_no", means="Cover begins.")
class Issued(Event):
    policy_no: str


@context.event(subject="policy_no", means="Cover ends.")
class Cancelled(Event):
    policy_no: str


@context.event(subject="claim_no", means="A claim was made.")
class Claimed(Event):
    claim_no: str


CATALOGUE = Catalogue.of([context])
BY_CODE = {"I": Issued, "C": Cancelled}
acl = Translators("crm")


@acl.table("POLICY")
def policy(change: Change) -> Iterator[Event]:
    yield from _told(change)


def _told(change: Change) -> Iterator[Event]:
    yield BY_CODE[change.text("CODE")](policy_no=change.text("POLICY_NO"))


@acl.table("CLAIM")
def claim(change: Change) -> Iterator[Event]:
    yield Claimed(claim_no=change.text("CLAIM_NO"))


@acl.table("ANYTHING")
def anything(change: Change) -> Iterator[Event]:
    yield globals()[change.text("EVENT")](**change.row)


def test_the_events_of_a_table_are_those_that_its_rules_mention_however_far_away() -> None:
    assert events_of("POLICY", acl, CATALOGUE) == frozenset({"Issued", "Cancelled"})
    assert events_of("CLAIM", acl, CATALOGUE) == frozenset({"Claimed"})


def test_a_parked_change_concerns_the_views_of_its_events_and_all_views_when_nobody_can_say() -> None:
    reach = Reach({"crm": acl}, CATALOGUE)
    assert reach.concerns("crm", "POLICY", {"Cancelled"})
    assert not reach.concerns("crm", "CLAIM", {"Cancelled"})
    assert events_of("ANYTHING", acl, CATALOGUE) is None
    assert reach.concerns("crm", "ANYTHING", {"Cancelled"})
    assert reach.concerns("crm", "UNSPOKEN", {"Cancelled"})
    assert reach.concerns("erp", "CLAIM", {"Cancelled"})
    assert reach.concerns("crm", "CLAIM", set())
