"""How a capability is repaired when it drifts: a plan of actions, each with its reason and its command, and their doing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from toolkit import commands
from toolkit.core.errors import StranglerError
from toolkit.core.evidence import Discrepancy, Finding, Verification
from toolkit.core.projections import Definition
from toolkit.core.routes import Stage
from toolkit.cutover.facts import Around, gather
from toolkit.cutover.gates import Facts
from toolkit.questions.drifting import Drifting

MECHANICAL, ERROR = "mechanical", "error"


class Kind(StrEnum):
    """What a repair does."""

    REPLAY_CHANGES = "replay_changes"
    REPLAY_EVENTS = "replay_events"
    REPROJECT = "reproject"
    REBUILD = "rebuild"
    MEND = "mend"
    REACH = "reach"


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to do about a capability: why, how much it concerns, and the command that does it alone.

    `mend` is for a person: the code is wrong, and no replay makes it right. `reach`, too: something does not answer, and
    until it does nobody knows what there is to repair.
    """

    kind: Kind
    target: str
    version: int = 0
    keys: tuple[str, ...] = ()
    why: str
    command: str


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an action: how much it settled, or why it could not be done."""

    action: Action
    settled: int = 0
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loops:
    """The loops that do the work. Each returns how many things it settled."""

    replay_changes: Callable[[str], int]
    """source"""
    replay_events: Callable[[str, int], int]
    """projection, version"""
    reproject: Callable[[str, int, Sequence[str]], int]
    """projection, version, keys"""
    rebuild: Callable[[str, int], int]
    """projection, version"""


def plan(around: Around, capability: str, discrepancies: Sequence[Discrepancy] = ()) -> list[Action]:
    """What can be done for a capability, in the order in which it should be done.

    `discrepancies` are the open ones of its latest shadow run.
    """
    facts = gather(around, capability)
    drifting = Drifting(around, capability, facts.versions)
    return [
        *_unknown(facts),
        *_not_there(around, facts),
        *_replays(facts, around.project.settings.legacy),
        *_keys(drifting, discrepancies),
        *_unverified(facts),
        *_skipped(facts),
        *_code(facts, drifting, discrepancies),
    ]


def rebuild(around: Around, projection: str, version: int) -> Action:
    """Build a version anew, on request. Raises UsageError when the code does not have it."""
    around.project.definition(projection, version)
    why = "built beside the serving version from the archive; reads go on meanwhile"
    command = commands.rebuild(projection, version)
    return Action(kind=Kind.REBUILD, target=projection, version=version, why=why, command=command)


def execute(actions: Sequence[Action], loops: Loops) -> list[Done]:
    """Do the actions, each alone: one that fails is reported, and the next is done all the same.

    Every action may be done again: replays apply what still waits, and a row folded twice is the same row.
    """
    return [_do(action, loops) for action in actions if action.kind not in (Kind.MEND, Kind.REACH)]


def _do(action: Action, loops: Loops) -> Done:
    try:
        return Done(action=action, settled=_run(action, loops))
    except StranglerError as error:
        return Done(action=action, problem=str(error))


def _run(action: Action, loops: Loops) -> int:
    if action.kind is Kind.REPLAY_CHANGES:
        return loops.replay_changes(action.target)
    if action.kind is Kind.REPLAY_EVENTS:
        return loops.replay_events(action.target, action.version)
    if action.kind is Kind.REPROJECT:
        return loops.reproject(action.target, action.version, action.keys)
    return loops.rebuild(action.target, action.version)


def _unknown(facts: Facts) -> list[Action]:
    """What could not be asked about the view: without it, no list of repairs is whole."""
    parts = ("parked", "freshness", "determinism", "skipped", "shadow")
    said = dict.fromkeys(facts.problems[part] for part in parts if part in facts.problems)
    return [
        Action(
            kind=Kind.REACH,
            target=facts.capability,
            why=f"nobody can tell what is to be repaired: {problem}",
            command=f"{commands.DOCTOR} tells what does not answer",
        )
        for problem in said
    ]


def _not_there(around: Around, facts: Facts) -> list[Action]:
    """Projections that readers may be sent to, of which no version serves, or one that promises nothing yet."""
    if "freshness" in facts.problems or facts.route.stage is Stage.LEGACY:
        return []
    found = []
    for name in around.project.capability(facts.capability).projections:
        version = facts.versions.get(name)
        if version is None:
            why, command = "no version of it serves", f"{commands.RUN} makes it from the archive"
        elif any(one.as_of is None for one in around.read_store.checkpoints(name, version)):
            why = "the version that serves promises nothing: it has not read the log as far as a watermark of each partition"
            command = f"{commands.RUN} keeps it up to date; {commands.freshness(facts.capability)} tells what it waits for"
        else:
            continue
        found.append(Action(kind=Kind.MEND, target=name, version=version or 0, why=why, command=command))
    return found


def _replays(facts: Facts, sources: Iterable[str]) -> list[Action]:
    """Changes first: an event that a change has yet to become may be what the next ones wait for."""
    waiting = {one.where: one for one in facts.parked if one.count}
    found = []
    for source in sources:
        if changes := waiting.get(f"changes of {source}"):
            why = f"{changes.count} changes are parked, first: {changes.reason}"
            found.append(Action(kind=Kind.REPLAY_CHANGES, target=source, why=why, command=changes.next))
    for projection, version in facts.versions.items():
        if events := waiting.get(f"events of {projection} v{version}"):
            found.append(
                Action(
                    kind=Kind.REPLAY_EVENTS,
                    target=projection,
                    version=version,
                    why=f"{events.count} events are parked, first: {events.reason}",
                    command=commands.replay_events(projection),
                )
            )
    return found


def _keys(drifting: Drifting, discrepancies: Sequence[Discrepancy]) -> list[Action]:
    """Rows that are missing or extra are folded again from the archive, in each projection that they may be of.

    Where the difference does not tell the key of a projection's row, verifying it does.
    """
    found: dict[str, list[Discrepancy]] = {}
    for one in discrepancies:
        if one.kind == MECHANICAL:
            found.setdefault(one.path, []).append(one)
    wrong: dict[str, tuple[Definition, list[Discrepancy]]] = {}
    for path, some in found.items():
        for definition in drifting.having(path):
            wrong.setdefault(definition.name, (definition, []))[1].extend(some)
    others = " (or of another of these projections)" if len(wrong) > 1 else ""
    return [_again(one, drifting.keys(one, some), len(some), others) for one, some in wrong.values()]


def _again(definition: Definition, keys: tuple[str, ...], count: int, others: str) -> Action:
    if not keys:
        return Action(
            kind=Kind.MEND,
            target=definition.name,
            version=definition.version,
            why=f"{count} differences of missing or extra rows{others} do not tell which of its rows they are of",
            command=f"{commands.verify(definition.name)} names the rows that are not what their history gives",
        )
    return Action(
        kind=Kind.REPROJECT,
        target=definition.name,
        version=definition.version,
        keys=keys,
        why=f"{_counted(keys)} rows that are missing or too many{others}",
        command=commands.reproject(definition.name, keys),
    )


def _unverified(facts: Facts) -> list[Action]:
    """What the latest verification of each version found, until it is verified again."""
    return [
        Action(
            kind=Kind.REBUILD if not one.deterministic else Kind.MEND,
            target=name,
            version=facts.versions[name],
            why=f"verified at {one.at:%Y-%m-%d %H:%M:%S}Z: {one.detail}",
            command=_verified_again(name, facts.versions[name], one),
        )
        for name, one in facts.verifications.items()
        if not one.holds and name in facts.versions
    ]


def _verified_again(name: str, version: int, found: Verification) -> str:
    built = commands.rebuild(name, version + 1)
    if not found.deterministic:
        return f"mend what makes it depend on more than its events as a new version, then {built}"
    return (
        f"{commands.reproject(name)} folds a row again, then {commands.verify(name)}; where the code is another one than made "
        f"the table, raise its version, then {built}"
    )


def _skipped(facts: Facts) -> list[Action]:
    """What was skipped stays out of this version; only another one can take it up."""
    return [
        Action(
            kind=Kind.MEND,
            target=name,
            version=facts.versions.get(name, 0),
            why=f"{len(events)} events were skipped: {commands.skipped(name)} tells who answers for them",
            command=f"mend the projection as a new version, then {commands.rebuild(name, facts.versions.get(name, 0) + 1)}",
        )
        for name, events in facts.skipped.items()
    ]


def _code(facts: Facts, drifting: Drifting, discrepancies: Sequence[Discrepancy]) -> list[Action]:
    """Values that differ: a row that is not what its history gives is folded again, else the rule is wrong."""
    findings = facts.run.findings if facts.run is not None else ()
    found = []
    for one in findings:
        if one.kind == MECHANICAL or one.acceptance is not None:
            continue
        if one.kind == ERROR:
            found.append(_unanswered(facts, drifting, one, discrepancies))
            continue
        why = f"{one.kind} difference in {one.path}, {one.keys} keys ({one.fingerprint})"
        having = drifting.having(one.path)
        examples = [shown for shown in discrepancies if shown.fingerprint == one.fingerprint]
        found += [_mend(definition, why, drifting.keys(definition, examples)) for definition in having]
        if not having:
            all_ = "; ".join(commands.verify(name) for name in facts.versions)
            told = f"{why}: no projection of its own has that column"
            mend = f"{all_}: where they hold, mend the capability's read_sql"
            found.append(Action(kind=Kind.MEND, target=facts.capability, why=told, command=mend))
    return found


def _unanswered(
    facts: Facts, drifting: Drifting, finding: Finding, discrepancies: Sequence[Discrepancy]
) -> Action:
    """The projection gave no answer at all: no row is wrong, and no replay mends that."""
    told = [one.detail.get("projection") for one in discrepancies if one.fingerprint == finding.fingerprint]
    cause = next((str(one) for one in told if one), "the message is redacted")
    again = f"then {commands.shadow_run(facts.capability)}"
    return Action(
        kind=Kind.MEND,
        target=facts.capability,
        why=f"the projection gave {finding.keys} keys no answer ({finding.fingerprint}): {cause}",
        command=f"{commands.DOCTOR} explains the read; mend {drifting.read_sql}, or what the message says, {again}",
    )


def _counted(keys: Sequence[str]) -> str:
    return "1 key has" if len(keys) == 1 else f"{len(keys)} keys have"


def _mend(definition: Definition, why: str, keys: Sequence[str]) -> Action:
    name = definition.name
    again = f", {commands.reproject(name, keys)} folds these again" if keys else ""
    return Action(
        kind=Kind.MEND,
        target=name,
        version=definition.version,
        why=why,
        command=f"{commands.verify(name)} says whether rows differ from their history{again}; where it holds, mend the "
        f"projection as a new version, then {commands.rebuild(name, definition.version + 1)}",
    )
