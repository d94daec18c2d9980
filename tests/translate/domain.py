"""A small anti-corruption layer over `tests.support.legacy`: events that say the whole state, so that a fold can be judged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tests.support.legacy import SOURCE
from toolkit.core.changes import Change, Op
from toolkit.core.errors import Untranslatable
from toolkit.core.events import Catalogue, Context, Event
from toolkit.core.translators import Translators, payload

policies = Context("policies")
EPOCH = 1
TOPIC = "test.policies"


@policies.event(subject="policy_no", means="The policy stands so from now on.")
class PolicyStated(Event):
    policy_no: str
    status: str
    premium: str


@policies.event(subject="policy_no", means="The policy is gone.")
class PolicyWithdrawn(Event):
    policy_no: str


@policies.event(subject="policy_no", means="The hold stands.")
class HoldPlaced(Event):
    policy_no: str
    hold_no: int
    kind: str


@policies.event(subject="policy_no", means="The hold is gone.")
class HoldReleased(Event):
    policy_no: str
    hold_no: int


@policies.event(subject="policy_no", means="Billing confirmed that the hold may go.")
class ReleaseConfirmed(Event):
    policy_no: str
    hold_no: int


@policies.event(subject="policy_no", means="So many rows of the policy changed together.")
class WorkDone(Event):
    policy_no: str
    rows: int


CATALOGUE = Catalogue.of([policies])
KINDS = {"P", "C"}


def rules(*, together: bool = False) -> Translators:
    """The layer; `together` adds a rule that sees whole transactions."""
    acl = Translators(SOURCE)
    acl.aggregate("policy", {"POLMAST": "POL_NO", "POLHOLD": "POL_NO", "OUTBOX": "AGGREGATEID"})
    acl.table("POLMAST")(policy)
    acl.table("POLHOLD")(hold)
    acl.outbox("OUTBOX", "HoldReleaseConfirmed")(confirmed)
    if together:
        acl.transaction("POLMAST", "POLHOLD")(work)
    return acl


def policy(change: Change) -> Iterator[Event]:
    number = change.subject
    if change.op is Op.DELETE:
        yield PolicyWithdrawn(policy_no=number)
        return
    if change.text("STAT_CD") == "?":
        raise Untranslatable("STAT_CD '?' is a code nobody told us of")
    yield PolicyStated(policy_no=number, status=change.text("STAT_CD"), premium=str(change["PREM"]))


def hold(change: Change) -> Iterator[Event]:
    number = int(str(change["HLD_ID"]))
    if change.op is Op.DELETE:
        yield HoldReleased(policy_no=change.subject, hold_no=number)
        return
    if change["HLD_TYP"] not in KINDS:
        raise Untranslatable(f"HLD_TYP {change['HLD_TYP']!r} is a code nobody told us of")
    yield HoldPlaced(policy_no=change.subject, hold_no=number, kind=str(change["HLD_TYP"]))


def confirmed(change: Change) -> Iterator[Event]:
    yield ReleaseConfirmed(policy_no=change.subject, hold_no=int(str(payload(change)["hold"])))


def work(changes: Sequence[Change]) -> Iterator[Event]:
    yield WorkDone(policy_no=changes[0].subject, rows=len(changes))
