"""Move a route: plan says what apply does, apply does just that, rollback needs no gate, rehearse walks the way back."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from toolkit.core.errors import Refused, StranglerError, UsageError
from toolkit.core.evidence import Rehearsal
from toolkit.core.freshness import Confidence
from toolkit.core.routes import (
    ANY_CONSUMER,
    BUCKETS,
    REHEARSAL_CONSUMER,
    Action,
    Move,
    Route,
    Side,
    Stage,
    legal,
    legal_back,
    moved,
)
from toolkit.cutover.gates import Checklist
from toolkit.ports import Clock, Evidence, RouteStore
from toolkit.router.read import Reader

PLAN_VALID = dt.timedelta(minutes=15)
ATTEMPTS = 5


class Force(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody moves against the gates, by name and with a reason that stays in the history."""

    owner: str
    reason: str


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A move that may be made, and what its gates say. `becomes` equals `was` when there is nothing to do."""

    was: Route
    becomes: Route
    checklist: Checklist
    who: str
    why: str

    @property
    def nothing(self) -> bool:
        """Is the route there already?"""
        return self.was == self.becomes

    @property
    def effects(self) -> tuple[str, ...]:
        """What apply does, line by line."""
        if self.nothing:
            return (f"nothing: {self.becomes.capability} is at {self.becomes.label} already",)
        return effects(self.was, self.becomes)


def plan(
    route: Route, stage: Stage, share: int, checklist: Checklist, *, consumer: str, who: str, why: str
) -> Plan:
    """Plan a move forward. `route` is the one the consumer follows, `checklist` the gates of `stage`."""
    if (checklist.capability, checklist.consumer, checklist.stage) != (route.capability, consumer, stage):
        raise UsageError(
            "this checklist is of another capability, consumer or stage: evaluate it for this move"
        )
    becomes = moved(route, consumer, stage, share)
    there = (route.stage, route.share, route.consumer) == (becomes.stage, becomes.share, consumer)
    return Plan(was=route, becomes=route if there else becomes, checklist=checklist, who=who, why=why)


def apply(plan: Plan, store: RouteStore, now: dt.datetime, force: Force | None = None) -> Route:
    """Do what the plan says. Raises Refused with every reason unless all gates pass, or `force` answers for them.

    Run again after a crash, it finds its own move made and changes nothing.
    """
    if plan.nothing:
        return plan.becomes
    _allow(plan, now, force)
    checklist = plan.checklist
    forced = force is not None and not checklist.passed
    evidence: dict[str, object] = {"gates": msgspec.to_builtins(checklist.gates)}
    if force is not None and forced:
        evidence["forced"] = {
            "owner": force.owner,
            "reason": force.reason,
            "against": list(checklist.reasons),
        }
    move = Move(
        action=Action.FORCED if forced else Action.FORWARD,
        was=plan.was,
        becomes=plan.becomes,
        who=force.owner if force is not None and forced else plan.who,
        why=force.reason if force is not None and forced else plan.why,
        evidence=evidence,
        config_hash=checklist.config_hash,
    )
    return store.apply(move, now)


def _allow(plan: Plan, now: dt.datetime, force: Force | None) -> None:
    target = f"{plan.becomes.capability} may not move to {plan.becomes.label} for {plan.becomes.consumer}"
    if problem := legal(plan.was, plan.becomes.stage, plan.becomes.share):
        raise Refused(target, [problem])
    if now - plan.checklist.at > PLAN_VALID:
        raise Refused(target, [f"the checklist is older than {PLAN_VALID}: plan again"])
    if force is not None:
        if not force.owner.strip() or not force.reason.strip():
            raise UsageError("to force a move, say who answers for it and why")
        return
    if not plan.checklist.passed:
        raise Refused(target, plan.checklist.reasons)


def effects(was: Route, becomes: Route) -> tuple[str, ...]:
    """What a move changes, as a person reads it before and after."""
    told = [f"{becomes.capability} for {becomes.consumer}: {was.label} -> {becomes.label}"]
    if was.consumer != becomes.consumer:
        told.append(f"{becomes.consumer} gets a route of its own; until now it followed {was.consumer}")
    told.append(_answers(becomes))
    if becomes.shadowed != was.shadowed:
        told.append("both sides are compared" if becomes.shadowed else "both sides are no longer compared")
    if becomes.stage is Stage.RETIRED:
        told.append("there is no way back: the legacy read path is asked no more")
    told.append(f"the history gets revision {becomes.revision}")
    return tuple(told)


def _answers(route: Route) -> str:
    if route.stage is Stage.CANARY:
        return (
            f"subjects whose place in the ramp is below {route.share} of {BUCKETS:,} "
            "are answered by the projection, the others by legacy"
        )
    return f"{'the projection' if route.side('') is Side.PROJECTION else 'legacy'} answers for every subject"


def rollback(
    store: RouteStore,
    capability: str,
    stage: Stage,
    *,
    consumer: str = ANY_CONSUMER,
    share: int = 0,
    who: str,
    why: str,
    now: dt.datetime,
    evidence: dict[str, object] | None = None,
    config_hash: str = "",
) -> Route:
    """Move back to any former stage, or a smaller canary. No gate, allowed from every stage before `retired`.

    A route that is there already stays as it is, so that a second run after a crash is no error; one that
    moved meanwhile is looked at again. A consumer without a route of its own is moved back from where `*` is;
    where that moves nothing, it may be nobody's name. Raises UsageError with those that were ever routed.
    """
    for attempt in range(ATTEMPTS):
        was = store.get(capability, consumer)
        becomes = moved(was, consumer, stage, share)
        there, problem = (
            (was.stage, was.share) == (becomes.stage, becomes.share),
            legal_back(was, stage, share),
        )
        if consumer not in (was.consumer, ANY_CONSUMER) and (there or was.stage is Stage.LEGACY):
            raise UsageError(_never_routed(store, capability, consumer, was))
        if there:
            return was
        if problem:
            raise Refused(f"{capability} cannot go back to {stage} for {consumer}", [problem])
        move = Move(
            action=Action.ROLLBACK,
            was=was,
            becomes=becomes,
            who=who,
            why=why,
            evidence=evidence or {},
            config_hash=config_hash,
        )
        try:
            return store.apply(move, now)
        except Refused:
            if attempt == ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


def _never_routed(store: RouteStore, capability: str, consumer: str, followed: Route) -> str:
    routed = sorted(
        one.consumer
        for one in store.all()
        if one.capability == capability and one.consumer not in (ANY_CONSUMER, REHEARSAL_CONSUMER)
    )
    known = (
        f"; with a route of their own there are: {', '.join(routed)}" if routed else "; nobody else has one"
    )
    return (
        f"{capability} was never routed for {consumer}: it follows {ANY_CONSUMER}, which is at {followed.label} "
        f"already, so that nothing was moved{known}"
    )


def rollback_everyone(
    store: RouteStore, capability: str, stage: Stage, *, who: str, why: str, now: dt.datetime
) -> list[Route]:
    """Move every consumer that is further than `stage` back to it. Whoever is behind it stays where he is."""
    consumers = [ANY_CONSUMER, *(route.consumer for route in store.all() if route.capability == capability)]
    return [
        rollback(store, capability, stage, consumer=consumer, who=who, why=why, now=now)
        for consumer in dict.fromkeys(consumers)
        if legal_back(store.get(capability, consumer), stage, 0) is None
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsing:
    """What a rehearsal needs: a reader like those that serve, the real route table, and somewhere to note the result."""

    reader: Reader
    store: RouteStore
    evidence: Evidence
    clock: Clock
    sleep: Callable[[float], None] = time.sleep
    patience: float = 10.0


def rehearse(
    around: Rehearsing, capability: str, keys: Sequence[dict[str, object]], *, who: str
) -> Rehearsal:
    """Walk the way back, really: a consumer that is nobody is moved onto the projection in the real route table, a
    reader follows, the rollback is written, the reader picks it up, and legacy answers for the keys.

    The result is evidence, also when it is bad. Raises Refused when there is no way back to walk. A run that
    was cut short leaves the consumer that is nobody where it was; the next run starts from there.
    """
    if around.store.get(capability).stage is Stage.RETIRED:
        raise Refused(f"{capability} is retired", ["its legacy read path is gone, and with it the way back"])
    try:
        forth = _walk(around, capability, Stage.CANARY, who)
        served = sum(_served(around, capability, key) for key in keys)
        back = _walk(around, capability, Stage.LEGACY, who)
        problems = [*forth, *back, *_unanswered(around, capability, keys)]
        said = f"{served} of {len(keys)} keys were on the projection, then all {len(keys)} on legacy"
        detail = "; ".join(problems) if problems else said
    except StranglerError as error:
        problems, detail = [str(error)], f"the way back broke: {error}"
    result = Rehearsal(
        capability=capability,
        consumer=ANY_CONSUMER,
        at=around.clock(),
        passed=not problems,
        detail=detail,
    )
    around.evidence.save_rehearsal(result)
    return result


def _walk(around: Rehearsing, capability: str, stage: Stage, who: str) -> list[str]:
    """Move the consumer that is nobody, and wait until the reader's look at the routes shows it."""
    was = around.store.get(capability, REHEARSAL_CONSUMER)
    becomes = moved(was, REHEARSAL_CONSUMER, stage, BUCKETS)
    if (was.stage, was.share, was.consumer) != (becomes.stage, becomes.share, becomes.consumer):
        why = "rehearsing the way back"
        move = Move(action=Action.REHEARSAL, was=was, becomes=becomes, who=who, why=why)
        around.store.apply(move, around.clock())
    waited, step = 0.0, 0.05
    while around.reader.route(capability, REHEARSAL_CONSUMER)[0].stage is not stage:
        if waited >= around.patience:
            return [f"a reader has not seen the move to {stage} within {around.patience:g} s"]
        around.sleep(step)
        waited += step
    return []


def _served(around: Rehearsing, capability: str, key: dict[str, object]) -> bool:
    try:
        reading = around.reader.read(capability, key, consumer=REHEARSAL_CONSUMER)
    except Refused:  # a view that is too old to be shown is no fault of the way back
        return False
    return reading.served_by is Side.PROJECTION


def _unanswered(around: Rehearsing, capability: str, keys: Sequence[dict[str, object]]) -> list[str]:
    if not keys:
        return ["there was no key to ask legacy for: the way back proves nothing"]
    problems = []
    for key in keys:
        try:
            reading = around.reader.read(capability, key, consumer=REHEARSAL_CONSUMER)
        except StranglerError as error:
            problems.append(f"legacy does not answer for {key}: {error}")
            continue
        if reading.confidence is not Confidence.AUTHORITATIVE or reading.stage is not Stage.LEGACY:
            problems.append(f"{key} was answered by {reading.served_by} at stage {reading.stage}")
    return problems
