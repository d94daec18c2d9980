"""How far behind is the view I am looking at: as-of by partition, three legs of the way, and what stands in it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from enum import StrEnum

import msgspec

from toolkit import commands
from toolkit.core.ailments import Ailment
from toolkit.core.freshness import Confidence
from toolkit.cutover.facts import Around, Attempts, backfilled, parked_changes, serving_versions
from toolkit.cutover.gates import Parked
from toolkit.diagnosis import USUAL, Diagnosis, Patient
from toolkit.ports import Checkpoint, LeaseState, VersionState
from toolkit.questions.leading import Readers, leaderless, relay_leases
from toolkit.questions.serving import Served, served
from toolkit.questions.stalling import Blocker, silence, stalled
from toolkit.router.paths import oldest
from toolkit.settings import duration


class Hop(msgspec.Struct, frozen=True, kw_only=True):
    """One piece of the way from a legacy commit to the view: how many things wait there. None: it cannot be said."""

    name: str
    waiting: int | None
    unit: str
    cause: str = ""
    blocker: Blocker | None = None
    next: str = ""


class LegName(StrEnum):
    """The three legs whose lengths add up to the age of an answer."""

    PUBLISHED = "committed -> published"
    PROJECTED = "published -> projected"
    SERVED = "projected -> served"


class Leg(msgspec.Struct, frozen=True, kw_only=True):
    """How long one leg is by now. None: it cannot be said."""

    name: LegName
    behind: dt.timedelta | None


class PartitionAge(msgspec.Struct, frozen=True, kw_only=True):
    """How far one version has come in one partition. `waiting` events are archived and not in the view yet.

    `reader` is the process that reads it now, empty when none does.
    """

    projection: str
    version: int
    topic: str
    partition: int
    next_offset: int
    sequence: int
    waiting: int | None
    as_of: dt.datetime | None
    behind: dt.timedelta | None
    reader: str = ""


class Projected(msgspec.Struct, frozen=True, kw_only=True):
    """The last time a bounded context's view was written, by this machine's clock, and how the version is doing since.

    `parked_changes` are of the legacy sources and may become events that it reads, `parked_events` are its own.
    """

    context: str
    projection: str
    version: int
    at: dt.datetime | None
    state: str
    detail: str
    parked_changes: int | None = None
    parked_events: int = 0


class Lag(msgspec.Struct, frozen=True, kw_only=True):
    """How far behind the view is, and where on the way what is missing stands.

    `now` and all lengths are by the clock that `clock` names: the legacy source's own. When that cannot be asked, this
    machine's stands in, and `trusted` says that nothing may be concluded from it: what is known of the view is still told.
    """

    capability: str
    as_of: dt.datetime | None
    now: dt.datetime
    clock: str
    trusted: bool
    lag: dt.timedelta | None
    objective: dt.timedelta
    confidence: Confidence
    legs: tuple[Leg, ...]
    hops: tuple[Hop, ...]
    partitions: tuple[PartitionAge, ...]
    served: tuple[Served, ...]
    projected: tuple[Projected, ...]
    watermark: dt.datetime | None
    leases: tuple[LeaseState, ...] = ()
    problems: tuple[str, ...] = ()
    unreachable: bool = False
    """does a problem come of a server that does not answer?"""

    @property
    def causes(self) -> tuple[str, ...]:
        """Why the view is behind, as far as it can be seen from here; empty when nothing stands still."""
        return tuple(hop.cause for hop in self.hops if hop.cause)

    @property
    def fresh(self) -> bool:
        """Is it young enough, and is that known?"""
        return self.trusted and self.captured and self.lag is not None and self.lag <= self.objective

    @property
    def captured(self) -> bool:
        """Is anything of the source captured? If not, what it commits from now on never comes."""
        return all(hop.blocker is not Blocker.CAPTURE for hop in self.hops)


class _Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen of one serving version."""

    state: VersionState | None
    checkpoints: list[Checkpoint]
    parked: int


def lagging(around: Around, capability: str) -> Lag:
    """How far behind is the view I am looking at, and what is it waiting for?"""
    project, attempts = around.project, Attempts()
    section = project.capability(capability)
    source = project.legacy_of(section)
    topic = project.topic(source)
    versions = _versions(around, section.projections, attempts)
    seen = {name: _look(around, name, at, attempts) for name, at in versions.items()}
    watermark = attempts.get(("archive",), lambda: around.archive.last_watermark(topic), None)
    # The clocks come last: what was read before them is rather said to be too old than too young.
    clocks = _Clocks(around, attempts)
    now, trusted = clocks.of(topic)
    served_now = served(around, capability, clocks.of, attempts)
    parked = attempts.get(("parked",), lambda: parked_changes(around, source, versions), None)
    known = _leases(around, attempts)
    leases, readers = relay_leases(source, known), Readers(around, known)
    hops = _Hops(around, source, topic, watermark, now if trusted else None, leases, attempts)
    partitions = _partitions(versions, seen, clocks, hops.last, readers)
    complete = len(versions) == len(section.projections) and all(one.checkpoints for one in seen.values())
    as_of, lag = _oldest(partitions) if complete else (None, None)
    objective = duration(section.freshness)
    way = hops.all_of(versions, seen, parked)
    sure = clocks.all_trusted and all(hop.blocker is not Blocker.CAPTURE for hop in way)
    return Lag(
        capability=capability,
        as_of=as_of,
        now=now,
        clock=clocks.named(source, trusted),
        trusted=trusted,
        lag=lag,
        objective=objective,
        confidence=_confidence(lag, objective, sure),
        legs=_legs(topic, watermark, now, partitions, served_now),
        hops=way,
        partitions=partitions,
        served=served_now,
        projected=_projected(around, versions, seen, parked),
        watermark=watermark,
        leases=leases,
        problems=attempts.told,
        unreachable=bool(attempts.unreachable),
    )


def _oldest(partitions: Sequence[PartitionAge]) -> tuple[dt.datetime | None, dt.timedelta | None]:
    """As-of and age of the whole: of the partition that is furthest behind on its own source's clock."""
    as_of = oldest(one.as_of for one in partitions)
    longest = max((one.behind for one in partitions if one.behind is not None), default=None)
    return as_of, longest if as_of is not None else None


def _confidence(lag: dt.timedelta | None, objective: dt.timedelta, trusted: bool) -> Confidence:
    if lag is None or not trusted:
        return Confidence.UNKNOWN
    return Confidence.FRESH if lag <= objective else Confidence.STALE


class _Clocks:
    """The clock of each topic's source, asked once; this machine's where it cannot be asked."""

    def __init__(self, around: Around, attempts: Attempts) -> None:
        self._around, self._attempts = around, attempts
        self._sources = {around.project.topic(name): name for name in around.legacy}
        self._known: dict[str, tuple[dt.datetime, bool]] = {}

    def of(self, topic: str) -> tuple[dt.datetime, bool]:
        """The time there, and whether it is the source's own."""
        if topic not in self._known:
            source = self._sources.get(topic)
            ask = self._around.legacy[source].clock if source is not None else lambda: None
            now: dt.datetime | None = self._attempts.get(("legacy",), ask, None)
            self._known[topic] = (self._around.clock(), False) if now is None else (now, True)
        return self._known[topic]

    def named(self, source: str, trusted: bool) -> str:
        """Whose clock it is, for a sentence."""
        return (
            f"the clock of {source}" if trusted else f"this machine's clock: {source} does not tell its own"
        )

    @property
    def all_trusted(self) -> bool:
        """Did each source that was asked tell its time?"""
        return all(trusted for _, trusted in self._known.values())


def _versions(around: Around, projections: Sequence[str], attempts: Attempts) -> dict[str, int]:
    nothing: dict[str, int] = {}
    return attempts.get(("read store",), lambda: serving_versions(around.read_store, projections), nothing)


def _leases(around: Around, attempts: Attempts) -> list[LeaseState]:
    nobody: list[LeaseState] = []
    return attempts.get(("leases",), lambda: around.leases.leases() if around.leases else [], nobody)


def _look(around: Around, projection: str, version: int, attempts: Attempts) -> _Seen:
    def look() -> _Seen:
        states = around.read_store.versions(projection)
        return _Seen(
            state=next((one for one in states if one.version == version), None),
            checkpoints=around.read_store.checkpoints(projection, version),
            parked=len(around.read_store.parked(projection, version)),
        )

    return attempts.get((f"{projection} v{version}",), look, _Seen(state=None, checkpoints=[], parked=0))


def _partitions(
    versions: Mapping[str, int],
    seen: Mapping[str, _Seen],
    clocks: _Clocks,
    last: Mapping[int, int] | None,
    readers: Readers,
) -> tuple[PartitionAge, ...]:
    ages = (_ages(name, versions[name], one, clocks, last, readers) for name, one in seen.items())
    return tuple(one for some in ages for one in some)


def _ages(
    projection: str,
    version: int,
    seen: _Seen,
    clocks: _Clocks,
    last: Mapping[int, int] | None,
    readers: Readers,
) -> list[PartitionAge]:
    found = []
    for one in seen.checkpoints:
        now, _ = clocks.of(one.topic)
        behind = None if one.as_of is None else max(now - one.as_of, dt.timedelta())
        archived = None if last is None else last.get(one.partition, 0)
        found.append(
            PartitionAge(
                projection=projection,
                version=version,
                topic=one.topic,
                partition=one.partition,
                next_offset=one.next_offset,
                sequence=one.sequence,
                waiting=None if archived is None else max(0, archived - one.sequence),
                as_of=one.as_of,
                behind=behind,
                reader=readers.of(projection, version, one.topic, one.partition),
            )
        )
    return found


def _legs(
    topic: str,
    watermark: dt.datetime | None,
    now: dt.datetime,
    partitions: Sequence[PartitionAge],
    served_now: Sequence[Served],
) -> tuple[Leg, ...]:
    """The legs of one topic, all on its source's clock; none is shorter than nothing."""
    projected = oldest(one.as_of for one in partitions if one.topic == topic)
    given = oldest(one.as_ofs.get(topic) for one in served_now if one.as_ofs)
    ends = (
        (LegName.PUBLISHED, now, watermark),
        (LegName.PROJECTED, watermark, projected),
        (LegName.SERVED, projected, given),
    )
    return tuple(
        Leg(
            name=name,
            behind=None if begin is None or end is None else max(begin - end, dt.timedelta()),
        )
        for name, begin, end in ends
    )


def _projected(
    around: Around,
    versions: Mapping[str, int],
    seen: Mapping[str, _Seen],
    parked: Sequence[Parked] | None,
) -> tuple[Projected, ...]:
    """By context, when its views were last written: the one that was longest ago comes first."""
    found = []
    for name, version in versions.items():
        state = seen[name].state
        definition = around.project.projections.get(name, {}).get(version)
        found.append(
            Projected(
                context=definition.context if definition is not None else "",
                projection=name,
                version=version,
                at=state.projected_at if state is not None else None,
                state=state.state if state is not None else "unknown",
                detail=state.detail if state is not None else "",
                parked_changes=None if parked is None else sum(one.by_view.get(name, 0) for one in parked),
                parked_events=seen[name].parked,
            )
        )
    long_ago = dt.datetime.min.replace(tzinfo=dt.UTC)
    return tuple(sorted(found, key=lambda one: (one.context, one.at or long_ago)))


class _Hops:
    """What waits in each place, and what stands in the way there."""

    def __init__(
        self,
        around: Around,
        source: str,
        topic: str,
        watermark: dt.datetime | None,
        now: dt.datetime | None,
        leases: Sequence[LeaseState],
        attempts: Attempts,
    ) -> None:
        self._around, self._source, self._topic = around, source, topic
        self._watermark, self._now, self._leases = watermark, now, leases
        self._attempts = attempts
        self.last: Mapping[int, int] | None = attempts.get(
            ("archive",), lambda: around.archive.last_sequences(topic), None
        )

    def all_of(
        self, versions: Mapping[str, int], seen: Mapping[str, _Seen], parked: Sequence[Parked] | None
    ) -> tuple[Hop, ...]:
        """The whole way, in order."""
        views = (self.projecting(name, version, seen[name]) for name, version in versions.items())
        return (self.capturing(), *self.translating(parked), self.publishing(), *views)

    def translating(self, parked: Sequence[Parked] | None) -> tuple[Hop, ...]:
        """From what was captured to an event, where no translator could: by source, what the view may lack of it."""
        if parked is None:
            return (Hop(name=f"parked changes of {self._source} -> archived", waiting=None, unit="changes"),)
        return tuple(_untranslated(one) for one in parked)

    def capturing(self) -> Hop:
        """From the legacy commit to the archive."""
        around, source, attempts = self._around, self._source, self._attempts
        name = f"committed in {source} -> archived"
        capture = around.legacy[source].capture
        if self._now is None:  # it did not tell its time: each further question would wait for it again
            return Hop(
                name=name,
                waiting=None,
                unit="changes",
                cause=f"{source} does not answer",
                blocker=Blocker.LEGACY,
                next=commands.DOCTOR,
            )
        if attempts.get(("capture",), lambda: not capture.installed(), False):
            return Hop(
                name=name,
                waiting=None,
                unit="changes",
                cause=f"nothing of {source} is captured",
                blocker=Blocker.CAPTURE,
                next=commands.INSTALL_CAPTURE,
            )
        waiting = attempts.get(("capture",), lambda: capture.behind(capture.horizon()), None)
        cause, blocker, next_step = self._why_nothing_comes()
        return Hop(name=name, waiting=waiting, unit="changes", cause=cause, blocker=blocker, next=next_step)

    def _why_nothing_comes(self) -> tuple[str, Blocker | None, str]:
        around, source, attempts = self._around, self._source, self._attempts
        pauses = around.pauses
        pause = attempts.get(("pauses",), lambda: pauses.of(source) if pauses is not None else None, None)
        if pause is not None:
            cause = f"paused by {pause.who} since {pause.since:%Y-%m-%d %H:%M}Z: {pause.why}"
            return cause, Blocker.PAUSED, commands.RESUME
        nothing: dict[str, bool] = {}
        read = attempts.get(("backfill",), lambda: backfilled(around, source), nothing)
        unread = [tables for tables, done in read.items() if not done]
        if unread:
            cause = f"the history of {'; '.join(unread)} is not read to its end: no watermark promises anything before (a backfill leads the source: stop its relay first)"
            return cause, Blocker.BACKFILL, commands.BACKFILL
        here = around.clock()
        alone = leaderless(around, self._source, self._leases, here)
        cause = silence(self._watermark, self._now, here, self._leases, alone)
        if not cause:
            return "", None, ""
        if (open_ := self._open_transaction()) is not None:
            return f"{cause}; and in {source}: {open_.what}", Blocker.TRANSACTION, open_.next
        return cause, Blocker.RELAY, commands.RELAY

    def _open_transaction(self) -> Ailment | None:
        """A legacy transaction that has been open for long: what it wrote is in no view, and a way of capture may wait for it."""
        source = self._around.legacy[self._source]
        if not isinstance(source, Diagnosis):
            return None
        patient = Patient(where=f"legacy.{self._source}", limits=USUAL)
        checks = [one for one in source.checks(patient) if one.name == "long transactions"]
        nothing: list[Ailment] = []
        found = self._attempts.get(("legacy",), lambda: [it for one in checks for it in one.ask()], nothing)
        return found[0] if found else None

    def publishing(self) -> Hop:
        """From the archive to the log."""
        topic = self._topic
        waiting = self._attempts.get(("archive",), lambda: self._around.archive.backlog(topic), None)
        return Hop(name=f"archived -> published to {topic}", waiting=waiting, unit="events")

    def projecting(self, projection: str, version: int, seen: _Seen) -> Hop:
        """From the log to a view."""
        name, log, topic = f"published -> {projection} v{version}", self._around.log, self._topic
        bounds = self._attempts.get(("log",), lambda: log.bounds(topic) if log is not None else {}, None)
        mine = [one for one in seen.checkpoints if one.topic == topic]
        if seen.state is None or bounds is None or self.last is None:
            return Hop(name=name, waiting=None, unit="events")
        waiting = sum(max(0, self.last.get(one.partition, 0) - one.sequence) for one in mine)
        stall = stalled(seen.state, mine, self.last, bounds, self._watermark)
        if stall is not None:
            return Hop(
                name=name,
                waiting=waiting,
                unit="events",
                cause=stall.cause,
                blocker=stall.blocker,
                next=stall.next,
            )
        if seen.parked:
            return Hop(
                name=name,
                waiting=waiting,
                unit="events",
                cause=self._parked(projection, version),
                blocker=Blocker.PARKED,
                next=commands.PARKED,
            )
        return Hop(name=name, waiting=waiting, unit="events")

    def _parked(self, projection: str, version: int) -> str:
        events = self._around.read_store.parked(projection, version)
        first = next((one for one in events if not one.held), None)
        if first is None:
            return f"{len(events)} events are parked"
        record = first.record
        return (
            f"{len(events)} events are parked, and their rows stand still; the first: {record.envelope.type} of "
            f"{record.envelope.subject} ({record.envelope.id}, {first.topic}[{record.partition}] event "
            f"{record.sequence}): {first.reason}"
        )


def _untranslated(parked: Parked) -> Hop:
    name = f"parked {parked.where} -> archived"
    if not parked.count:
        return Hop(name=name, waiting=0, unit="changes")
    many = "1 change is" if parked.count == 1 else f"{parked.count} changes are"
    behind = f" ({parked.held} of them only held back behind others)" if parked.held else ""
    return Hop(
        name=name,
        waiting=parked.count,
        unit="changes",
        cause=f"{many} parked{behind}: no event tells of them, so the view may lack their effect; the first: {parked.reason}",
        blocker=Blocker.PARKED,
        next=f"{commands.PARKED}; mend the rule, then {parked.next}",
    )
