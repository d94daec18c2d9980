"""How far behind is the view I am looking at: as-of by partition, three legs of the way, and what stands in it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from enum import StrEnum

import msgspec

from toolkit.core.freshness import Confidence
from toolkit.cutover.facts import Around, Attempts, parked_changes, serving_versions
from toolkit.cutover.gates import Parked
from toolkit.ports import LeaseState
from toolkit.questions.hops import Hop, Hops, Seen
from toolkit.questions.leading import Readers, relay_leases
from toolkit.questions.serving import Served, served
from toolkit.questions.stalling import Blocker
from toolkit.router.paths import oldest
from toolkit.settings import duration


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
    hops = Hops(around, source, topic, watermark, now if trusted else None, leases, attempts)
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


def _look(around: Around, projection: str, version: int, attempts: Attempts) -> Seen:
    def look() -> Seen:
        states = around.read_store.versions(projection)
        return Seen(
            state=next((one for one in states if one.version == version), None),
            checkpoints=around.read_store.checkpoints(projection, version),
            parked=len(around.read_store.parked(projection, version)),
        )

    return attempts.get((f"{projection} v{version}",), look, Seen(state=None, checkpoints=[], parked=0))


def _partitions(
    versions: Mapping[str, int],
    seen: Mapping[str, Seen],
    clocks: _Clocks,
    last: Mapping[int, int] | None,
    readers: Readers,
) -> tuple[PartitionAge, ...]:
    ages = (_ages(name, versions[name], one, clocks, last, readers) for name, one in seen.items())
    return tuple(one for some in ages for one in some)


def _ages(
    projection: str,
    version: int,
    seen: Seen,
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
    seen: Mapping[str, Seen],
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
