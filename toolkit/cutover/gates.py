"""The checklist: which gates stand before a stage, and what each has to say. Values in, values out.

| stage        | gates                                                                                     |
|--------------|-------------------------------------------------------------------------------------------|
| `shadow`     | order, authority, capture, backfill                                                       |
| `canary`     | these, and parked, skipped, unclassified, freshness, shadow, fingerprints, determinism,   |
|              | coverage, way_back                                                                        |
| `projection` | the same: each step of the ramp is judged on fresh evidence                               |
| `retired`    | these, and accepted, tenure, consumers, fallback: nothing is left that only legacy knows  |

A gate without enough evidence is `insufficient`, which is not a pass. A waiver (owner, reason, expiry) turns
a gate that does not hold into `waived`, and is shown. The order of the stages cannot be waived, and nothing can
before `retired`: a waiver ends, retirement does not.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Final

import msgspec

from toolkit import commands
from toolkit.core.evidence import Finding, Rehearsal, RunSummary, Verification, Waiver, upper_bound
from toolkit.core.freshness import Freshness, ReadClass, WhenStale
from toolkit.core.routes import Route, Stage, legal
from toolkit.core.unclassified import Unclassified
from toolkit.ports import Hole
from toolkit.settings import GateSection, duration


class Outcome(StrEnum):
    """What a gate says. Only the first two let a move pass."""

    PASSED = "passed"
    WAIVED = "waived"
    FAILED = "failed"
    INSUFFICIENT = "insufficient"


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """One executable check: its outcome, on what evidence and how old that is, and what to do next."""

    name: str
    outcome: Outcome
    evidence: str
    age: dt.timedelta | None = None
    next: str = ""
    faults: tuple[str, ...] = ()
    """the single things that are wrong, where a waiver has to name what it answers for"""

    @property
    def open(self) -> bool:
        """Does it let the move pass?"""
        return self.outcome in (Outcome.PASSED, Outcome.WAIVED)

    def __str__(self) -> str:
        """As one line: `shadow failed: 3 of 400 pairs differ (next: ...)`."""
        return f"{self.name} {self.outcome}: {self.evidence}" + (f" (next: {self.next})" if self.next else "")


class Checklist(msgspec.Struct, frozen=True, kw_only=True):
    """The gates of one stage of one route, as they stood at one instant."""

    capability: str
    consumer: str
    stage: Stage
    at: dt.datetime
    config_hash: str
    gates: tuple[Gate, ...]

    @property
    def passed(self) -> bool:
        """Do all gates let the move pass?"""
        return all(gate.open for gate in self.gates)

    @property
    def reasons(self) -> tuple[str, ...]:
        """The gates that do not, each as one line."""
        return tuple(str(gate) for gate in self.gates if not gate.open)


class Parked(msgspec.Struct, frozen=True, kw_only=True):
    """How much waits in one place, and the first reason."""

    where: str
    count: int
    reason: str = ""
    next: str = ""
    elsewhere: int = 0
    """how much more waits there that no event of this view can come of"""
    held: int = 0
    """of changes, how many only wait behind another one"""
    by_view: dict[str, int] = {}
    """of changes, by projection how many its version may lack"""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """All that gates and guard decide on. What could not be had is missing, and `problems` says why, by gate.

    `since` is when the route came to its stage, `moved_at` when it moved last (a canary that grew, too), `installation` that
    of capture (None where not all is captured).
    """

    capability: str
    consumer: str
    route: Route
    now: dt.datetime
    read_class: ReadClass
    when_stale: WhenStale
    config_hash: str
    limits: GateSection
    uncaptured: tuple[str, ...] = ()
    holes: tuple[Hole, ...] = ()
    installation: str | None = None
    backfill: dict[str, bool] = {}
    parked: tuple[Parked, ...] = ()
    unclassified: tuple[Unclassified, ...] = ()
    skipped: dict[str, tuple[str, ...]] = {}
    """by projection, the ids of the events that are never applied, because somebody said so"""
    uncovered: tuple[str, ...] = ()
    """kinds of events in the archive without a path to today or without a golden example"""
    freshness: Freshness | None = None
    versions: dict[str, int] = {}
    run: RunSummary | None = None
    verifications: dict[str, Verification] = {}
    code_hashes: dict[str, str] = {}
    upcaster_hashes: dict[str, str] = {}
    rehearsal: Rehearsal | None = None
    waivers: tuple[Waiver, ...] = ()
    since: dt.datetime | None = None
    moved_at: dt.datetime | None = None
    others: tuple[Route, ...] = ()
    legacy_answers: bool = True
    problems: dict[str, str] = {}
    unreachable: bool = False
    """does one of them come of a server that does not answer?"""


Target = tuple[Stage, int]
Judge = Callable[[Facts, Target], Gate]


def evaluate(facts: Facts, stage: Stage, share: int | None = None) -> Checklist:
    """Judge every gate that stands before `stage`. Without a share, a canary is judged for its next step."""
    target = (stage, share if share is not None else max(1, facts.route.share + 1))
    return Checklist(
        capability=facts.capability,
        consumer=facts.consumer,
        stage=stage,
        at=facts.now,
        config_hash=facts.config_hash,
        gates=tuple(judge(name, facts, target) for name in NEEDED.get(stage, ())),
    )


def judge(name: str, facts: Facts, target: Target) -> Gate:
    """What one gate says, or its waiver."""
    problem = facts.problems.get(name)
    gate = _gate(name, Outcome.INSUFFICIENT, problem) if problem else JUDGES[name](facts, target)
    if gate.open or name in UNWAIVABLE or target[0] is Stage.RETIRED:
        return gate
    for waiver in facts.waivers:
        if waiver.gate == name and waiver.active(facts.now):
            if beyond := [fault for fault in gate.faults if fault not in waiver.covers]:
                said = f"{gate.evidence}; the waiver of {waiver.owner} does not cover: {some(beyond)}"
                return msgspec.structs.replace(gate, evidence=said)
            said = f"{gate.evidence}; {waiver.owner} answers for it until {waiver.expires_at:%Y-%m-%d}: {waiver.reason}"
            return msgspec.structs.replace(gate, outcome=Outcome.WAIVED, evidence=said, next="")
    return gate


def faults_of(facts: Facts, name: str) -> tuple[str, ...]:
    """What a waiver of this gate would answer for, by name, as things are now."""
    return JUDGES[name](facts, (Stage.SHADOW, 1)).faults if name in JUDGES else ()


def _gate(
    name: str, outcome: Outcome, evidence: str, next_step: str = "", age: dt.timedelta | None = None
) -> Gate:
    return Gate(name=name, outcome=outcome, evidence=evidence, age=age, next=next_step)


def _order(facts: Facts, target: Target) -> Gate:
    problem = legal(facts.route, *target)
    if problem:
        return _gate("order", Outcome.FAILED, problem)
    return _gate("order", Outcome.PASSED, f"{facts.route.label} is followed by {target[0]}")


def _authority(facts: Facts, _target: Target) -> Gate:
    if facts.read_class is not ReadClass.AUTHORITATIVE:
        return _gate("authority", Outcome.PASSED, f"read class {facts.read_class}")
    return _gate(
        "authority",
        Outcome.FAILED,
        "the capability is authoritative: it stays on legacy",
        f"leave it, or {commands.waive(facts.capability, 'authority')}",
    )


def _capture(facts: Facts, _target: Target) -> Gate:
    if facts.uncaptured:
        faults = tuple(f"not captured: {one}" for one in facts.uncaptured)
        said = f"not captured: {some(facts.uncaptured, commands.CAPTURE_STATUS)}"
        gate = _gate("capture", Outcome.FAILED, said, commands.INSTALL_CAPTURE)
        return msgspec.structs.replace(gate, faults=faults)
    if facts.holes:
        faults = tuple(f"{hole.where}: {hole.what}" for hole in facts.holes)
        gate = _gate(
            "capture",
            Outcome.FAILED,
            some(faults, commands.CAPTURE_STATUS),
            facts.holes[0].next or commands.CAPTURE_STATUS,
        )
        return msgspec.structs.replace(gate, faults=faults)
    return _gate("capture", Outcome.PASSED, "every table is captured, without a hole", age=dt.timedelta())


def _backfill(facts: Facts, _target: Target) -> Gate:
    if not facts.backfill:
        return _gate("backfill", Outcome.INSUFFICIENT, "there was no backfill yet", commands.BACKFILL)
    if open_groups := [tables for tables, done in facts.backfill.items() if not done]:
        said = f"not complete for {some(open_groups)}"
        return _gate("backfill", Outcome.FAILED, said, commands.BACKFILL)
    count = len(facts.backfill)
    said = "1 group of tables is" if count == 1 else f"{count} groups of tables are"
    return _gate("backfill", Outcome.PASSED, f"{said} complete")


def _parked(facts: Facts, _target: Target) -> Gate:
    waiting = [one for one in facts.parked if one.count]
    if waiting:
        said = some([f"{one.count} in {one.where}: {one.reason}" for one in waiting], commands.PARKED)
        return _gate("parked", Outcome.FAILED, said, f"mend the rule, then {waiting[0].next}")
    others = "".join(
        f"; {one.elsewhere} in {one.where}, of which no event of this view can come"
        for one in facts.parked
        if one.elsewhere
    )
    return _gate("parked", Outcome.PASSED, f"nothing is parked{others}", age=dt.timedelta())


def _skipped(facts: Facts, _target: Target) -> Gate:
    """Who skipped an event answered for the view; whether reads may move to it all the same is for a waiver to say."""
    faults = tuple(f"{name}: {event}" for name, events in facts.skipped.items() for event in events)
    if not faults:
        return _gate("skipped", Outcome.PASSED, "no event was skipped", age=dt.timedelta())
    first = next(name for name, events in facts.skipped.items() if events)
    gate = _gate(
        "skipped",
        Outcome.FAILED,
        f"{len(faults)} events were skipped: {some(faults, commands.skipped(first))}",
        f"mend the projection as a new version, or {commands.waive(facts.capability, 'skipped')}",
    )
    return msgspec.structs.replace(gate, faults=faults)


def _unclassified(facts: Facts, _target: Target) -> Gate:
    allowed = facts.limits.unclassified
    if len(facts.unclassified) > allowed:
        first = facts.unclassified[0]
        said = (
            f"{len(facts.unclassified)} kinds of change gave no event, allowed {allowed}: {first.shape}"
            f" ({first.count} times, last of {first.subject})"
        )
        gate = _gate("unclassified", Outcome.FAILED, said, commands.unclassified(first.source))
        return msgspec.structs.replace(gate, faults=tuple(str(one.shape) for one in facts.unclassified))
    said = f"{len(facts.unclassified)} kinds of change gave no event, allowed {allowed}"
    return _gate("unclassified", Outcome.PASSED, said, age=dt.timedelta())


def _freshness(facts: Facts, _target: Target) -> Gate:
    freshness = facts.freshness
    if freshness is None or freshness.lag is None:
        said = "no watermark has reached every partition of the view yet"
        return _gate("freshness", Outcome.INSUFFICIENT, said, f"{commands.RELAY}, and {commands.PROJECT}")
    said = f"{_seconds(freshness.lag)} behind, objective {_seconds(freshness.objective)}"
    if not freshness.within_objective:
        return _gate("freshness", Outcome.FAILED, said, f"strangler freshness {facts.capability}")
    return _gate("freshness", Outcome.PASSED, said, age=dt.timedelta())


def _shadow(facts: Facts, _target: Target) -> Gate:
    run, limits = facts.run, facts.limits
    again = commands.shadow_run(facts.capability)
    unfit = unfit_run(facts)
    if run is None or unfit:
        return _gate("shadow", Outcome.INSUFFICIENT, unfit, again, _age(facts, run))
    bound = upper_bound(run.mismatched, run.judged)
    said = (
        f"{run.mismatched} of {run.judged} pairs differ: at most {bound:.2%} at 95 % confidence, "
        f"allowed {limits.mismatch_rate:.2%}"
    )
    if run.errors > limits.guard_errors:
        failed = f"{run.errors} pairs failed on the projection's side, allowed {limits.guard_errors}; {said}"
        return _gate("shadow", Outcome.FAILED, failed, again, _age(facts, run))
    if run.judged and run.mismatched / run.judged > limits.mismatch_rate:
        return _gate("shadow", Outcome.FAILED, said, again, _age(facts, run))
    if run.judged < limits.pairs or bound > limits.mismatch_rate:
        wanted = f"{said}; at least {limits.pairs} pairs are asked for"
        return _gate("shadow", Outcome.INSUFFICIENT, wanted, again, _age(facts, run))
    return _gate("shadow", Outcome.PASSED, said, age=_age(facts, run))


def unfit_run(facts: Facts) -> str:
    """Why the latest shadow run says nothing about what serves now; empty when it does."""
    run = facts.run
    if run is None:
        return "there is no shadow run under this configuration"
    if run.config_hash != facts.config_hash:
        return "the latest shadow run compared under another configuration"
    if run.versions != facts.versions:
        return f"the latest shadow run compared {_versions(run.versions)}; {_versions(facts.versions)} serves"
    if facts.installation is not None and run.installation != facts.installation:
        return "the latest shadow run is from before capture was installed as it is now"
    if facts.now - run.ended_at > duration(facts.limits.evidence_age):
        return f"the latest shadow run is older than {facts.limits.evidence_age}"
    return ""


def _fingerprints(facts: Facts, _target: Target) -> Gate:
    again = commands.shadow_run(facts.capability)
    if facts.run is None or unfit_run(facts):
        return _gate("fingerprints", Outcome.INSUFFICIENT, unfit_run(facts), again, _age(facts, facts.run))
    unaccepted = [finding for finding in facts.run.findings if finding.acceptance is None]
    if unaccepted:
        accept = commands.accept(facts.capability, unaccepted[0].fingerprint)
        next_step = f"mend the projection, or {accept}"
        return _gate("fingerprints", Outcome.FAILED, listed(unaccepted), next_step, _age(facts, facts.run))
    return _gate("fingerprints", Outcome.PASSED, "no difference is unexplained", age=_age(facts, facts.run))


def _accepted(facts: Facts, _target: Target) -> Gate:
    accepted = [one for one in (facts.run.findings if facts.run else ()) if one.acceptance is not None]
    if facts.run is None:
        return _gate(
            "accepted", Outcome.INSUFFICIENT, unfit_run(facts), commands.shadow_run(facts.capability)
        )
    if accepted:
        said = f"still accepted: {listed(accepted)}"
        return _gate("accepted", Outcome.FAILED, said, "mend them: legacy will not be there to compare with")
    return _gate("accepted", Outcome.PASSED, "no difference is merely accepted", age=_age(facts, facts.run))


def _determinism(facts: Facts, _target: Target) -> Gate:
    oldest: dt.timedelta | None = None
    for projection, version in facts.versions.items():
        found = facts.verifications.get(projection)
        name, again = f"{projection} v{version}", commands.verify(projection, version)
        if found is None:
            return _gate("determinism", Outcome.INSUFFICIENT, f"{name} was never verified", again)
        age = facts.now - found.at
        oldest = age if oldest is None else max(age, oldest)
        if not found.holds:
            return _gate("determinism", Outcome.FAILED, f"{name}: {short(found.detail)}", again, age)
        if found.code_hash != facts.code_hashes.get(projection):
            said = f"the code of {name} has changed since it was verified"
            return _gate("determinism", Outcome.INSUFFICIENT, said, again, age)
        if found.upcaster_hash != facts.upcaster_hashes.get(projection, found.upcaster_hash):
            said = f"how the events of {name} are read has changed since it was verified"
            return _gate("determinism", Outcome.INSUFFICIENT, said, again, age)
        if found.skipped != list(facts.skipped.get(projection, ())):
            said = f"events of {name} were skipped since it was verified"
            return _gate("determinism", Outcome.INSUFFICIENT, said, again, age)
        if age > duration(facts.limits.verification_age):
            said = f"{name} was verified longer ago than {facts.limits.verification_age}"
            return _gate("determinism", Outcome.INSUFFICIENT, said, again, age)
    if oldest is None:
        return _gate("determinism", Outcome.INSUFFICIENT, "no version of its projections serves")
    return _gate("determinism", Outcome.PASSED, f"{_versions(facts.versions)} verified", age=oldest)


def _coverage(facts: Facts, _target: Target) -> Gate:
    """What was ever archived has to be readable at every rebuild to come, also when nobody remembers it."""
    if not facts.uncovered:
        said = "each archived kind has a path and a golden example"
        return _gate("coverage", Outcome.PASSED, said, age=dt.timedelta())
    said = some(facts.uncovered, commands.COVERAGE)
    gate = _gate(
        "coverage", Outcome.FAILED, said, f"{commands.EXAMPLES} for what lacks one; {commands.COVERAGE}"
    )
    return msgspec.structs.replace(gate, faults=facts.uncovered)


def _way_back(facts: Facts, _target: Target) -> Gate:
    again, found = commands.rehearse(facts.capability), facts.rehearsal
    if found is None:
        return _gate("way_back", Outcome.INSUFFICIENT, "the way back was never walked", again)
    age = facts.now - found.at
    if not found.passed:
        return _gate("way_back", Outcome.FAILED, found.detail, again, age)
    if age > duration(facts.limits.rehearsal_age):
        said = f"the way back was walked longer ago than {facts.limits.rehearsal_age}"
        return _gate("way_back", Outcome.INSUFFICIENT, said, again, age)
    return _gate("way_back", Outcome.PASSED, found.detail, age=age)


def _tenure(facts: Facts, _target: Target) -> Gate:
    wanted = facts.limits.retire_after
    if facts.since is None or facts.route.stage is not Stage.PROJECTION:
        return _gate("tenure", Outcome.FAILED, f"it does not serve everybody yet; {wanted} are asked for")
    served = facts.now - facts.since
    outcome = Outcome.PASSED if served >= duration(wanted) else Outcome.FAILED
    return _gate("tenure", outcome, f"has served everybody for {served.days} days; {wanted} are asked for")


def _consumers(facts: Facts, _target: Target) -> Gate:
    behind = [one for one in facts.others if one.stage not in (Stage.PROJECTION, Stage.RETIRED)]
    if behind:
        said = ", ".join(f"{one.consumer} is at {one.label}" for one in behind)
        return _gate("consumers", Outcome.FAILED, f"legacy still answers: {said}", "move them first")
    return _gate("consumers", Outcome.PASSED, "no consumer is answered by legacy any more")


def _fallback(facts: Facts, _target: Target) -> Gate:
    if facts.when_stale is WhenStale.LEGACY:
        said = 'when_stale = "legacy" has nothing to fall back to once legacy is retired'
        return _gate("fallback", Outcome.FAILED, said, "say serve, warn or refuse in strangler.toml")
    return _gate("fallback", Outcome.PASSED, f"a stale view is answered without legacy: {facts.when_stale}")


def _age(facts: Facts, run: RunSummary | None) -> dt.timedelta | None:
    return None if run is None else facts.now - run.ended_at


def _seconds(span: dt.timedelta) -> str:
    return f"{span.total_seconds():.1f} s"


def _versions(versions: Mapping[str, int]) -> str:
    return ", ".join(f"{name} v{version}" for name, version in versions.items()) or "no version"


SHOWN = 3
"""Things of one kind that a gate names; who wants all of them is told the command."""
LONGEST = 160
"""Characters of a reason or a name that a gate repeats."""


def some(things: Sequence[str], more: str = "") -> str:
    """The first few of them, each shortened, and how many there are besides; `more` is the command that lists all."""
    shown = [short(one) for one in things[:SHOWN]]
    if len(things) > SHOWN:
        shown.append(f"and {len(things) - SHOWN} more" + (f": {more}" if more else ""))
    return "; ".join(shown)


def short(text: str) -> str:
    """A text on one line that a cell can hold."""
    text = " ".join(text.split())
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def listed(findings: list[Finding]) -> str:
    """Differences as one line: kind, place, keys and fingerprint of each, the first few."""
    return some([f"{one.kind} {one.path} ({one.keys} keys, {one.fingerprint})" for one in findings])


JUDGES: Final[Mapping[str, Judge]] = {
    "order": _order,
    "authority": _authority,
    "capture": _capture,
    "backfill": _backfill,
    "parked": _parked,
    "skipped": _skipped,
    "unclassified": _unclassified,
    "freshness": _freshness,
    "shadow": _shadow,
    "fingerprints": _fingerprints,
    "determinism": _determinism,
    "coverage": _coverage,
    "way_back": _way_back,
    "accepted": _accepted,
    "tenure": _tenure,
    "consumers": _consumers,
    "fallback": _fallback,
}
UNWAIVABLE: Final = frozenset({"order"})
_TO_COMPARE = ("order", "authority", "capture", "backfill")
_TO_SERVE = (
    *_TO_COMPARE,
    "parked",
    "skipped",
    "unclassified",
    "freshness",
    "shadow",
    "fingerprints",
    "determinism",
    "coverage",
    "way_back",
)
NEEDED: Final[Mapping[Stage, tuple[str, ...]]] = {
    Stage.SHADOW: _TO_COMPARE,
    Stage.CANARY: _TO_SERVE,
    Stage.PROJECTION: _TO_SERVE,
    Stage.RETIRED: (*_TO_SERVE, "accepted", "tenure", "consumers", "fallback"),
}
