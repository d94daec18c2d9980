"""Ask every server all that can be asked, and let no question that fails hide the others."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import packages_distributions

import msgspec

from toolkit import commands
from toolkit.core.ailments import Ailment, Severity
from toolkit.core.errors import ExitCode, Infrastructure, ReadTimeout, StranglerError
from toolkit.cutover.facts import Around
from toolkit.diagnosis import USUAL, Check, DatabaseDiagnosis, Diagnosis, Limits, Patient
from toolkit.ports import LegacySource
from toolkit.questions.doctor import clocks, flowing, history
from toolkit.questions.doctor.packages import foreign_owners
from toolkit.questions.doctor.reads import legacy_reads, view_reads
from toolkit.settings import duration

_SHORTEST = dt.timedelta(seconds=30)


class Examined(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked, what was found, and whom nobody could ask."""

    findings: list[Ailment]
    unreachable: list[str]
    checks: list[str]

    @property
    def ending(self) -> ExitCode:
        """Hints alone are clean; a server that cannot be reached weighs more than any finding."""
        if self.unreachable:
            return ExitCode.INFRASTRUCTURE
        worse = any(one.severity is not Severity.HINT for one in self.findings)
        return ExitCode.FINDINGS if worse else ExitCode.CLEAN


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What is examined besides the ports that every decision is made from.

    `state` and `views` name our databases (one, perhaps); `databases` has by name who knows the ailments of each, and our
    tables in it. `faults`: sources that could not even be opened. `limits` are for all.
    """

    revisions: Callable[[], Mapping[str, tuple[str | None, str]]]
    state: str = "state"
    views: str = "read store"
    databases: Mapping[str, tuple[DatabaseDiagnosis, tuple[str, ...]]] = field(default_factory=dict)
    log: Diagnosis | None = None
    faults: Mapping[str, StranglerError] = field(default_factory=dict)
    libraries: Sequence[Check] = ()
    limits: Limits = USUAL


def examine(around: Around, surroundings: Surroundings) -> Examined:
    """Everything that can be seen from here."""
    return run(_checks(around, surroundings))


def run(checks: Iterable[Check]) -> Examined:
    """Ask one by one. Whom the first question does not reach is asked no other."""
    findings: list[Ailment] = []
    unreachable: list[str] = []
    asked: list[str] = []
    met: set[str] = set()
    for check in checks:
        server = check.where.partition(",")[0]
        if server in unreachable:
            continue
        asked.append(f"{check.where}: {check.name}")
        try:
            findings.extend(check.ask())
        except Exception as error:  # noqa: BLE001 - a question that fails is a finding, and hides no other
            if server not in met and isinstance(error, Infrastructure) and not isinstance(error, ReadTimeout):
                unreachable.append(server)
            findings.append(_failed(check, error, reached=server not in unreachable))
        met.add(server)
    severities = list(Severity)
    findings.sort(key=lambda one: severities.index(one.severity))
    return Examined(findings=findings, unreachable=unreachable, checks=asked)


def _failed(check: Check, error: Exception, *, reached: bool) -> Ailment:
    told = str(error) if isinstance(error, StranglerError) else f"{type(error).__name__}: {error}"
    if not reached:
        return Ailment(
            where=check.where,
            what=f"cannot be reached: {told}",
            next="mend this first: nothing else was asked there",
            evidence={"check": check.name},
        )
    return Ailment(
        where=check.where,
        what=f"could not be checked for {check.name}: {told}",
        next=check.needs or "mend what the message says, and ask again",
        severity=Severity.RISK,
        evidence={"check": check.name},
    )


def _checks(around: Around, surroundings: Surroundings) -> Iterator[Check]:
    yield Check(
        where="this installation",
        name="packages",
        ask=lambda: foreign_owners(packages_distributions()),
    )
    yield from surroundings.libraries
    for name, error in surroundings.faults.items():
        yield Check(where=f"legacy.{name}", name="connection", ask=partial(_raise, error))
    shortest = min(
        (duration(one.freshness) for one in around.project.settings.capability.values()), default=_SHORTEST
    )
    for name in around.legacy:
        yield from _legacy(around, name, surroundings.limits, shortest)
    revisions = _Revisions(surroundings)
    yield Check(where=surroundings.state, name="revisions", ask=revisions.ailments)
    yield from _ours(around, surroundings, shortest, revisions)
    if surroundings.log is not None:
        topics = Patient(where="log", own=tuple(around.project.topics), limits=surroundings.limits)
        yield from surroundings.log.checks(topics)
    if revisions.current:  # questions are asked one by one: those that stand on missing tables are not asked
        yield from _flow(around, surroundings)


def _flow(around: Around, surroundings: Surroundings) -> Iterator[Check]:
    log = around.log
    if log is not None:
        for topic, partitions in around.project.topics.items():
            ask = partial(flowing.topics, log, topic, partitions)
            yield Check(where="log", name=f"topic {topic}", ask=ask)
        yield Check(where="log", name="positions", ask=partial(flowing.positions, around, log))
    for name in around.legacy:
        for what, ask in (
            ("watermark", partial(flowing.watermark, around, name, surroundings.limits)),
            ("parked changes", partial(flowing.parked_changes, around, name)),
        ):
            yield Check(where=surroundings.state, name=f"{what} of {name}", ask=ask)
    if around.retention is not None:
        reach = partial(history.reach, around, around.retention)
        yield Check(where=surroundings.state, name="reach of the archive", ask=reach)
        strays = partial(history.strays, around.retention)
        yield Check(where=surroundings.state, name="time partitions", ask=strays)
    covered = partial(history.covered, around)
    yield Check(where=surroundings.state, name="kinds of events", ask=covered)
    parked = partial(flowing.parked_events, around)
    yield Check(where=surroundings.views, name="parked events", ask=parked)


def _legacy(around: Around, name: str, limits: Limits, shortest: dt.timedelta) -> Iterator[Check]:
    source, where = around.legacy[name], f"legacy.{name}"
    section = around.project.settings.legacy[name]
    yield Check(
        where=where, name="clock", ask=partial(clocks.skew, where, source.clock, around.clock, shortest)
    )
    yield Check(where=where, name="capture", ask=partial(_capture, around, name, source))
    patient = Patient(
        where=where,
        capture=section.capture,
        slot=section.wal.slot,
        connections=section.max_reads + 2,
        tables=tuple(around.project.captured(name)),
        own=("strangler.strangler_change", "strangler.strangler_captured"),
        reads=legacy_reads(around, name),
        limits=limits,
    )
    for one in (source, source.capture):  # a capture that fetches may know ailments of its own
        if isinstance(one, Diagnosis):
            yield from one.checks(patient)


def _capture(around: Around, name: str, source: LegacySource) -> Iterator[Ailment]:
    """Tables that are not captured, and the holes that capture itself sees."""
    where = f"legacy.{name}"
    installed = {table.upper() for table in source.capture.installed()}
    missing = sorted({one.table for one in around.project.captured(name)} - installed)
    if missing:
        yield Ailment(
            where=where,
            what=f"{', '.join(missing)} not captured",
            next=commands.INSTALL_CAPTURE,
            evidence={"missing": len(missing), "captured": len(installed)},
        )
    if not installed:
        return
    for hole in source.capture.holes():
        severity = Severity.BROKEN if hole.escapes else Severity.HINT
        yield Ailment(where=f"{where}, {hole.where}", what=hole.what, next=hole.next, severity=severity)


def _ours(
    around: Around, surroundings: Surroundings, shortest: dt.timedelta, revisions: _Revisions
) -> Iterator[Check]:
    for where, (diagnosis, own) in surroundings.databases.items():
        patient = Patient(
            where=where,
            own=own,
            reads=view_reads(around) if where == surroundings.views and revisions.current else (),
            limits=surroundings.limits,
        )
        yield from diagnosis.checks(patient)
        yield Check(
            where=where,
            name="clock",
            ask=partial(clocks.skew, where, diagnosis.clock, around.clock, shortest),
        )


class _Revisions:
    """Are our tables those that this version needs? Known once it was asked."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings
        self.current = False

    def ailments(self) -> list[Ailment]:
        """Sets of tables that are behind, or missing."""
        revisions = self._surroundings.revisions()
        self.current = all(at == head for at, head in revisions.values())
        return [
            Ailment(
                where=f"database of {which}",
                what=f"tables are at {at or 'nothing'}, this version needs {head}",
                next="strangler setup",
                evidence={"at": at, "needed": head},
            )
            for which, (at, head) in revisions.items()
            if at != head
        ]


def _raise(error: StranglerError) -> list[Ailment]:
    raise error
