"""The guard: moves a route back by itself when what it promises no longer holds."""

from __future__ import annotations

import msgspec

from toolkit import commands
from toolkit.core.errors import Refused
from toolkit.core.evidence import RunSummary
from toolkit.core.routes import ANY_CONSUMER, REHEARSAL_CONSUMER, Action, Move, Route, Stage, moved
from toolkit.cutover.facts import Around, gather
from toolkit.cutover.gates import Facts, listed
from toolkit.cutover.moves import ATTEMPTS
from toolkit.settings import duration

GUARD = "guard"
WAY_BACK = {Stage.SHADOW: Stage.LEGACY, Stage.CANARY: Stage.SHADOW, Stage.PROJECTION: Stage.SHADOW}
"""Back to `shadow`, where legacy answers for everybody and the comparison goes on: it says when to try again.
From `shadow` only back to `legacy`, which takes the load of comparing off both sides."""


class Watch(msgspec.Struct, frozen=True, kw_only=True):
    """What the guard thinks of one route: the budgets that are passed, the move that follows, or why none does.

    `noted` are the differences that nobody answers for, though the budget allows them: a route that holds is not one
    without differences.
    """

    capability: str
    consumer: str
    route: Route
    reasons: tuple[str, ...] = ()
    move: Move | None = None
    held: str = ""
    noted: tuple[str, ...] = ()
    untold: tuple[str, ...] = ()
    """what could not be looked at, so that nobody knows whether the route holds"""


def watch(facts: Facts, route: Route) -> Watch:
    """Judge one route. Pure: the same facts give the same move."""
    reasons = breaches(facts, route)
    seen = Watch(
        capability=route.capability,
        consumer=route.consumer,
        route=route,
        reasons=reasons,
        noted=unaccepted(facts, route),
        untold=_untold(facts, route),
    )
    if not reasons:
        return seen
    if not facts.legacy_answers:
        held = "legacy does not answer: moving back to it would make things worse"
        return msgspec.structs.replace(seen, held=held)
    return msgspec.structs.replace(seen, move=_back(facts, route, reasons))


def guard_step(facts: Facts, route: Route) -> Move | None:
    """The move that the guard makes now, or None."""
    return watch(facts, route).move


def breaches(facts: Facts, route: Route) -> tuple[str, ...]:
    """The budgets that are passed. Nobody is hurt by a difference or a lag in `shadow`: finding them is what it is
    for, so there only errors count.
    """
    if route.stage not in WAY_BACK:
        return ()
    found = _errors(facts)
    if route.stage is not Stage.SHADOW:
        found = [*_mismatches(facts), *_overdue(facts), *found]
    return tuple(found)


def unaccepted(facts: Facts, route: Route) -> tuple[str, ...]:
    """Findings of the latest run that nobody answers for, where readers are given them, and why they move nobody.

    The gate `fingerprints` lets nobody go on with them. Back goes who passes a budget: one difference of a few keys
    would otherwise undo what somebody moved knowing of it.
    """
    run = facts.run
    if run is None or route.stage not in (Stage.CANARY, Stage.PROJECTION):
        return ()
    findings = [one for one in run.findings if one.acceptance is None]
    if not findings:
        return ()
    repair = commands.repair_show(route.capability)
    return (f"nobody answers for {listed(findings)}: {_within(facts, run)} (run {run.id}; next: {repair})",)


def _untold(facts: Facts, route: Route) -> tuple[str, ...]:
    """Readers are on the view, and what tells whether it keeps its budgets did not answer: no reason to move, and none to trust."""
    if route.stage not in (Stage.CANARY, Stage.PROJECTION):
        return ()
    said = {facts.problems[gate]: gate for gate in ("shadow", "freshness") if gate in facts.problems}
    return tuple(f"{gate}: {problem}" for problem, gate in said.items())


def _within(facts: Facts, run: RunSummary) -> str:
    if not _counts(facts):
        return "the run is from before the latest move, or of other versions, and moves nobody"
    allowed = f"{facts.limits.mismatch_rate:.2%} are allowed"
    rate = run.mismatched / run.judged if run.judged else 0.0
    which = "within" if rate <= facts.limits.mismatch_rate else "past"
    return f"{run.mismatched} of {run.judged} pairs differ, {which} the budget ({allowed})"


def _back(facts: Facts, route: Route, reasons: tuple[str, ...]) -> Move:
    evidence: dict[str, object] = {"reasons": list(reasons)}
    if facts.run is not None:
        evidence["run"] = facts.run.id
    if facts.freshness is not None:
        evidence["as_of"] = msgspec.to_builtins(facts.freshness.as_of)
    return Move(
        action=Action.ROLLBACK,
        was=route,
        becomes=moved(route, route.consumer, WAY_BACK[route.stage], 0),
        who=GUARD,
        why="; ".join(reasons),
        evidence=evidence,
        config_hash=facts.config_hash,
    )


def _counts(facts: Facts) -> bool:
    """Does the latest run speak of what serves now? One from before the latest move was judged by its gates, or by
    whoever forced it.
    """
    run = facts.run
    return (
        run is not None
        and run.versions == facts.versions
        and (facts.moved_at is None or run.ended_at > facts.moved_at)
    )


def _mismatches(facts: Facts) -> list[str]:
    run = facts.run
    if run is None or not _counts(facts) or not run.judged:
        return []
    rate = run.mismatched / run.judged
    if rate <= facts.limits.mismatch_rate:
        return []
    allowed = f"{facts.limits.mismatch_rate:.2%} are allowed"
    return [f"{run.mismatched} of {run.judged} pairs differ ({rate:.2%}); {allowed} (run {run.id})"]


def _errors(facts: Facts) -> list[str]:
    run = facts.run
    if run is None or not _counts(facts) or run.errors <= facts.limits.guard_errors:
        return []
    return [f"{run.errors} pairs failed on the projection's side; {facts.limits.guard_errors} are allowed"]


def _overdue(facts: Facts) -> list[str]:
    if "freshness" in facts.problems:
        return []
    freshness = facts.freshness
    if freshness is None or freshness.lag is None:
        return ["the view promises nothing: a partition has no watermark"]
    allowed = freshness.objective + duration(facts.limits.guard_overdue)
    if freshness.lag <= allowed:
        return []
    behind, limit = freshness.lag.total_seconds(), allowed.total_seconds()
    return [f"the view is {behind:.1f} s behind; {limit:.0f} s are allowed (objective and guard_overdue)"]


def guard(around: Around, capability: str) -> list[Watch]:
    """Look at every route of a capability once, and move back those that have to. Run it again and again."""
    routes = [one for one in around.routes.all() if one.capability == capability]
    return [
        _guard_one(around, capability, route.consumer)
        for route in routes
        if route.consumer != REHEARSAL_CONSUMER and route.stage in WAY_BACK
    ]


def _guard_one(around: Around, capability: str, consumer: str = ANY_CONSUMER) -> Watch:
    for attempt in range(ATTEMPTS):
        facts = gather(around, capability, consumer)
        seen = watch(facts, facts.route)
        if seen.move is None:
            return seen
        try:
            around.routes.apply(seen.move, around.clock())
        except Refused:
            # Somebody moved the route since we looked: look again, the budget may be kept now.
            if attempt == ATTEMPTS - 1:
                raise
        else:
            return seen
    raise AssertionError("unreachable")
