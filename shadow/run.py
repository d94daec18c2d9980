"""A shadow run: which keys, judged in batches, what came of it. Everything outside comes in through ports."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from shadow.classify import Locate, Redactor
from shadow.keys import Key, besides, distinct, read_keys, sample
from shadow.ledger import Ledger, Line
from shadow.normalise import Rules
from shadow.sandwich import Judgement, Patience, Sandwich, Sides, Verdict
from shadow.stats import Proof, Proven, prove
from toolkit.core.evidence import Acceptance
from toolkit.settings import CapabilitySection, duration

KeyRows = Callable[[], Iterable[Mapping[str, object]]]


class RunVerdict(StrEnum):
    """What a run came to. Too little is never clean."""

    CLEAN = "clean"
    FINDINGS = "findings"
    INSUFFICIENT = "insufficient"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a run is."""

    done: int
    total: int
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """What a run needs of the outside.

    `legacy_keys` and `view_keys` list the keys that each side knows: a row that only the projection has is
    found through the second. `recent` are the subjects that changed lately: they are always in the sample.
    `clock` is the wall clock, for the run's own stamps. `why_behind` says why the view does not come on, as far as
    somebody knows.
    """

    sides: Sides
    clock: Callable[[], dt.datetime]
    legacy_keys: KeyRows
    view_keys: KeyRows | None = None
    recent: Callable[[], Collection[str]] | None = None
    locate: Locate | None = None
    why_behind: Callable[[], str] | None = None
    progress: Callable[[Progress], None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of a run. `keys`: at most so many (0: all of the sample). `examples`: kept for each fingerprint."""

    batch: int = 200
    keys: int = 0
    examples: int = 20
    patience: Patience = field(default_factory=Patience)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is to be compared, under which name and configuration.

    `secret` keys the hashes that stand for redacted values: the same secret makes runs comparable. `installation` names
    the capture that feeds the views, as it was before anything was read.
    """

    run_id: str
    capability: str
    section: CapabilitySection
    config_hash: str
    rules: Rules
    secret: bytes
    installation: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """What a run found.

    `known`: keys of both sides together; `asked`: how many of them were judged. `counts` has each verdict, the
    confirmed pairs by their worst kind. `confirmed` are the confirmed pairs by the fingerprints they show.
    """

    id: str
    capability: str
    config_hash: str
    versions: Mapping[str, int]
    started_at: dt.datetime
    ended_at: dt.datetime
    seconds: float
    known: int
    asked: int
    stopped: bool
    counts: Mapping[str, int]
    lines: tuple[Line, ...]
    confirmed: Mapping[tuple[str, ...], int]
    errors: int
    legacy_errors: int
    proof: Proof
    verdict: RunVerdict
    cause: str = ""
    """why it was given up early, where it was"""
    notes: tuple[str, ...] = ()
    """what such a run cannot see"""
    installation: str = ""


NAMED = 10
"""Parked keys that a note names."""
FROZEN = 50
"""Keys that are counted as timed out when the view does not move at all; the others are not asked for."""


def shadow_run(
    asked: Asked, ports: Ports, limits: Limits, acceptances: Mapping[str, Acceptance] | None = None
) -> RunResult:
    """Compare both sides of a capability, key by key, and say what was found.

    `acceptances` are by fingerprint; those that have run out are ignored.
    """
    started_at, started = ports.clock(), ports.sides.monotonic()
    in_force = {print_: one for print_, one in (acceptances or {}).items() if started_at < one.expires_at}
    known, drawn, lately = _choose(asked, ports, limits)
    chosen = [*lately, *drawn]
    sandwich = Sandwich(asked.rules, ports.sides, limits.patience)
    ledger = _ledger(asked, ports, limits)
    cause = _frozen(ports, limits) if chosen else ""
    if cause:
        done = len(chosen[:FROZEN])
        for key in chosen[:FROZEN]:
            ledger.add(Judgement(key=key, verdict=Verdict.TIMEOUT))
    else:
        done = _judge(chosen, len(lately), sandwich, ledger, ports, limits.batch)
    gates = asked.section.gates
    proof = prove(ledger.mismatched(in_force), ledger.judged, pairs=gates.pairs, rate=gates.mismatch_rate)
    lines = ledger.lines(in_force)
    return RunResult(
        id=asked.run_id,
        capability=asked.capability,
        config_hash=asked.config_hash,
        installation=asked.installation,
        versions=dict(sandwich.versions),
        started_at=started_at,
        ended_at=ports.clock(),
        seconds=ports.sides.monotonic() - started,
        known=known,
        asked=done,
        stopped=done < len(chosen),
        counts=dict(ledger.counts),
        lines=lines,
        confirmed=dict(ledger.confirmed),
        errors=ledger.errors,
        legacy_errors=ledger.legacy_errors,
        proof=proof,
        verdict=_verdict(lines, proof),
        cause=cause,
        notes=(*_blind_spots(asked.section, ports), *_set_aside(ledger), *_unweighed(len(lately))),
    )


def _frozen(ports: Ports, limits: Limits) -> str:
    """Why no key can be judged: the view does not come past an instant of now. Empty when it does, or nobody can say.

    One wait tells it; asking for each key would give as many timeouts as there are keys, and no reason.
    """
    sides = ports.sides
    try:
        now = sides.now()
    except Exception:  # noqa: BLE001 - a source that cannot tell its time is a verdict on each key
        return ""
    if sides.wait_for(now, limits.patience.catch_up) or sides.stopping():
        return ""
    why = ports.why_behind() if ports.why_behind is not None else ""
    return f"the view has not come past {now} in {limits.patience.catch_up:g} s" + (f": {why}" if why else "")


def _blind_spots(section: CapabilitySection, ports: Ports) -> tuple[str, ...]:
    if ports.view_keys is not None:
        return ()
    asked = ", ".join(section.key)
    note = f"the capability is asked with {asked}, which is not the key of its projection: "
    return (note + "rows that only the projection has are not looked for",)


def _set_aside(ledger: Ledger) -> tuple[str, ...]:
    """How many keys were not judged for events that may have nothing to do with them, and for which."""
    if not ledger.set_aside:
        return ()
    named = [name for name, _ in ledger.because.most_common(NAMED)]
    more = len(ledger.because) - len(named)
    parked = ", ".join(named) + (f" and {more} more" if more else "")
    said = f"{ledger.set_aside} keys without an answer of the projection were set aside, because nobody can say whether what "
    return (f"{said}is parked is of them: {parked} (strangler repair parked)",)


def _unweighed(lately: int) -> tuple[str, ...]:
    if not lately:
        return ()
    return (
        f"{lately} keys that changed lately were compared besides the sample: what differs in them is told, and the rate does not count them",
    )


def _choose(asked: Asked, ports: Ports, limits: Limits) -> tuple[int, list[Key], list[Key]]:
    """How many keys there are, those that are drawn, and those besides that changed lately (as many at most)."""
    name, section = asked.capability, asked.section
    lists = [list(read_keys(name, section, ports.legacy_keys()))]
    if ports.view_keys is not None:
        lists.append(list(read_keys(name, section, ports.view_keys())))
    keys = distinct(*lists)
    recent = frozenset(ports.recent() if ports.recent is not None else ())
    most = limits.keys or len(keys)
    drawn = sample(name, keys, section.sample)[:most]
    return len(keys), drawn, besides(name, keys, drawn, recent)[:most]


def _ledger(asked: Asked, ports: Ports, limits: Limits) -> Ledger:
    return Ledger(
        asked.rules,
        objective=duration(asked.section.freshness),
        redactor=Redactor(asked.rules.redact, asked.secret),
        hidden_keys=any(part.lower() in asked.rules.redact for part in asked.section.key),
        locate=ports.locate,
        examples=limits.examples,
    )


def _judge(
    keys: Sequence[Key], lately: int, sandwich: Sandwich, ledger: Ledger, ports: Ports, batch: int
) -> int:
    """Judge batch by batch until all are done or the run is stopped. Returns how many were judged.

    The first so many came besides those that were drawn.
    """
    done = 0
    for start in range(0, len(keys), batch):
        if ports.sides.stopping():
            break
        part = keys[start : start + batch]
        apart = {key.label for key in keys[start : min(start + batch, lately)]}
        for judgement in sandwich.judge(part):
            ledger.add(judgement, drawn=judgement.key.label not in apart)
        done += len(part)
        if ports.progress is not None:
            ports.progress(Progress(done=done, total=len(keys), counts=dict(ledger.counts)))
    return done


def _verdict(lines: Iterable[Line], proof: Proof) -> RunVerdict:
    if any(line.fails for line in lines):
        return RunVerdict.FINDINGS
    return RunVerdict.CLEAN if proof.proven is Proven.PASS else RunVerdict.INSUFFICIENT
