"""The three questions as values: what is authoritative here, how far behind is the view, how do we repair it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

import msgspec

from toolkit import commands
from toolkit.core.freshness import Confidence, ReadClass, WhenStale
from toolkit.core.routes import ANY_CONSUMER, REHEARSAL_CONSUMER, Route, Stage, pick
from toolkit.cutover.facts import Around, Attempts, backfilled, freshness, gather, serving_versions
from toolkit.cutover.gates import Facts, Parked
from toolkit.ports import Checkpoint, LeaseState, VersionState
from toolkit.questions.leading import leaderless, leaders, relay_leases
from toolkit.router.read import AUTHORITY_GATE
from toolkit.settings import duration

SILENT = dt.timedelta(seconds=15)
"""How long watermarks may stay away before somebody should look: many heartbeats of the relay."""


class ContractColumn(msgspec.Struct, frozen=True, kw_only=True):
    """One column of the promise."""

    name: str
    type: str
    nullable: bool
    vocabulary: tuple[str, ...]


class ContractEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event the view is made from, with what it means and what nobody may conclude from it."""

    name: str
    means: str
    not_implied: tuple[str, ...]
    creates: bool


class Contract(msgspec.Struct, frozen=True, kw_only=True):
    """What the serving version of one projection promises."""

    projection: str
    version: int
    context: str
    key: str
    columns: tuple[ContractColumn, ...]
    events: tuple[ContractEvent, ...]


class Authority(msgspec.Struct, frozen=True, kw_only=True):
    """Who is right, who answers, and what the view promises.

    The legacy source is the system of record, whoever answers: the toolkit moves reads, not writes.
    """

    capability: str
    means: str
    record: str
    record_context: str
    read_class: ReadClass
    stays: str
    routes: tuple[Route, ...]
    answers: dict[str, str]
    contracts: tuple[Contract, ...]
    objective: str
    when_stale: WhenStale


class Hop(msgspec.Struct, frozen=True, kw_only=True):
    """One leg of the way from a legacy commit to the view: how many things wait there. None: it cannot be said."""

    name: str
    waiting: int | None
    unit: str
    cause: str = ""
    next: str = ""


class Lag(msgspec.Struct, frozen=True, kw_only=True):
    """How far behind the view is, and where on the way what is missing stands."""

    capability: str
    as_of: dt.datetime | None
    now: dt.datetime | None
    lag: dt.timedelta | None
    objective: dt.timedelta
    confidence: Confidence
    hops: tuple[Hop, ...]
    watermark: dt.datetime | None
    leases: tuple[LeaseState, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def causes(self) -> tuple[str, ...]:
        """Why the view is behind, as far as it can be seen from here; empty when nothing stands still."""
        return tuple(hop.cause for hop in self.hops if hop.cause)


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """One capability on one line, and a little more."""

    capability: str
    means: str
    read_class: ReadClass
    routes: tuple[Route, ...]
    versions: dict[str, int]
    lag: Lag
    parked: tuple[Parked, ...]
    judged: int | None
    mismatched: int | None
    compared_at: dt.datetime | None
    problems: dict[str, str]


def authority(around: Around, capability: str) -> Authority:
    """What is authoritative here?"""
    project = around.project
    section = project.capability(capability)
    source = project.legacy_of(section)
    routes = routes_of(around, capability)
    versions = serving_versions(around.read_store, section.projections)
    stays = _stays(around, capability, section.read_class)
    return Authority(
        capability=capability,
        means=section.means,
        record=source,
        record_context=project.settings.legacy[source].context,
        read_class=section.read_class,
        stays=stays,
        routes=routes,
        answers={one.consumer: _who(one, source, versions, stays) for one in routes},
        contracts=tuple(_contract(around, name, version) for name, version in versions.items()),
        objective=section.freshness,
        when_stale=section.when_stale,
    )


def routes_of(around: Around, capability: str) -> tuple[Route, ...]:
    """Every route of a capability, that of `*` first, even when it never moved."""
    mine = {one.consumer: one for one in around.routes.all() if one.capability == capability}
    star = pick({(capability, name): one for name, one in mine.items()}, capability, ANY_CONSUMER)
    others = [one for name, one in mine.items() if name not in (ANY_CONSUMER, REHEARSAL_CONSUMER)]
    return (star, *others)


def _stays(around: Around, capability: str, read_class: ReadClass) -> str:
    """Why the capability stays on legacy whatever its route says; empty when it need not."""
    if read_class is not ReadClass.AUTHORITATIVE:
        return ""
    now = around.clock()
    for waiver in around.evidence.waivers(capability):
        if waiver.gate == AUTHORITY_GATE and waiver.active(now):
            return ""
    return "authoritative, and no waiver is in force"


def _who(route: Route, source: str, versions: Mapping[str, int], stays: str) -> str:
    legacy, view = f"legacy {source}", " + ".join(f"{name} v{at}" for name, at in versions.items())
    if stays or route.stage is Stage.LEGACY:
        return legacy
    if route.stage is Stage.SHADOW:
        return f"{legacy}, compared with {view}"
    if route.stage is Stage.CANARY:
        return f"{view} for {route.share / 100:g} % of subjects, {legacy} for the others"
    return f"{view}, compared with {legacy}" if route.stage is Stage.PROJECTION else view


def _contract(around: Around, projection: str, version: int) -> Contract:
    definition = around.project.definition(projection, version)
    return Contract(
        projection=projection,
        version=version,
        context=definition.context,
        key=definition.key_label,
        columns=tuple(
            ContractColumn(
                name=one.name, type=str(one.type), nullable=one.nullable, vocabulary=one.vocabulary
            )
            for one in definition.columns
        ),
        events=tuple(
            ContractEvent(
                name=name,
                means=around.project.catalogue.types[name].means,
                not_implied=around.project.catalogue.types[name].not_implied,
                creates=handler.creates,
            )
            for name, handler in definition.handlers.items()
        ),
    )


def lagging(around: Around, capability: str) -> Lag:
    """How far behind is the view I am looking at, and what is it waiting for?"""
    project, attempts = around.project, Attempts()
    section = project.capability(capability)
    source = project.legacy_of(section)
    topic = project.topic(source)
    unknown: dict[str, int] = {}
    versions = attempts.get(
        ("read store",), lambda: serving_versions(around.read_store, section.projections), unknown
    )
    now = attempts.get(("legacy",), around.legacy[source].clock, None)
    seen = attempts.get(("view",), lambda: freshness(around, capability, versions), None)
    watermark = attempts.get(("archive",), lambda: around.archive.last_watermark(topic), None)
    nobody: list[LeaseState] = []
    held = attempts.get(("leases",), lambda: around.leases.leases() if around.leases else [], nobody)
    leases = relay_leases(source, held)
    return Lag(
        capability=capability,
        as_of=seen.as_of if seen is not None else None,
        now=now,
        lag=seen.lag if seen is not None else None,
        objective=duration(section.freshness),
        confidence=seen.confidence() if seen is not None else Confidence.UNKNOWN,
        hops=(
            _capturing(around, source, watermark, now, leases, attempts),
            _publishing(around, topic, attempts),
            *(_projecting(around, topic, name, at, watermark, attempts) for name, at in versions.items()),
        ),
        watermark=watermark,
        leases=leases,
        problems=tuple(f"{part}: {problem}" for part, problem in attempts.problems.items()),
    )


def _capturing(
    around: Around,
    source: str,
    watermark: dt.datetime | None,
    now: dt.datetime | None,
    leases: Sequence[LeaseState],
    attempts: Attempts,
) -> Hop:
    capture = around.legacy[source].capture
    waiting = attempts.get(("capture",), lambda: capture.behind(capture.horizon()), None)
    name = f"committed in {source} -> archived"
    pauses = around.pauses
    pause = attempts.get(("capture",), lambda: pauses.of(source) if pauses is not None else None, None)
    if pause is not None:
        cause = f"paused by {pause.who} since {pause.since:%Y-%m-%d %H:%M}Z: {pause.why}"
        return Hop(name=name, waiting=waiting, unit="changes", cause=cause, next=commands.RESUME)
    nothing: dict[str, bool] = {}
    read = attempts.get(("backfill",), lambda: backfilled(around, source), nothing)
    unread = [tables for tables, done in read.items() if not done]
    if unread:
        cause = f"the history of {'; '.join(unread)} is not read to its end: no watermark promises anything before (a backfill leads the source: stop its relay first)"
        return Hop(name=name, waiting=waiting, unit="changes", cause=cause, next=commands.BACKFILL)
    here = around.clock()
    cause = silence(watermark, now, here, leases, leaderless(around, source, leases, here))
    return Hop(name=name, waiting=waiting, unit="changes", cause=cause, next=commands.RELAY if cause else "")


def silence(
    watermark: dt.datetime | None,
    now: dt.datetime | None,
    here: dt.datetime,
    leases: Sequence[LeaseState],
    leaderless: Sequence[str] = (),
) -> str:
    """Why no watermark comes, or empty when they come. `now` is the legacy source's clock, `here` this machine's.

    `leaderless` are the shards that nobody leads: the view is as old as the oldest of them.
    """
    leads = [one for one in leases if one.expires_at > here]
    leader = leaders(leases, here)
    if watermark is None:
        return f"no watermark was ever sent: the relay has not run, or not come to an end ({leader})"
    if now is None or now - watermark <= SILENT:
        return ""
    silent = (now - watermark).total_seconds()
    if leads and leaderless:
        return f"no watermark for {silent:.0f} s: nobody leads {', '.join(leaderless)} ({leader})"
    if leads:
        return f"no watermark for {silent:.0f} s although {leader}: the relay is busy, stuck or just started"
    return f"no watermark for {silent:.0f} s: the relay is not running ({leader})"


def _publishing(around: Around, topic: str, attempts: Attempts) -> Hop:
    waiting = attempts.get(("archive",), lambda: around.archive.backlog(topic), None)
    return Hop(name=f"archived -> published to {topic}", waiting=waiting, unit="events")


def _projecting(
    around: Around,
    topic: str,
    projection: str,
    version: int,
    watermark: dt.datetime | None,
    attempts: Attempts,
) -> Hop:
    def look() -> tuple[list[VersionState], list[Checkpoint], dict[int, int], dict[int, tuple[int, int]]]:
        return (
            around.read_store.versions(projection),
            around.read_store.checkpoints(projection, version),
            around.archive.last_sequences(topic),
            around.log.bounds(topic) if around.log is not None else {},
        )

    seen = attempts.get((f"{projection} v{version}",), look, None)
    name = f"published -> {projection} v{version}"
    if seen is None:
        return Hop(name=name, waiting=None, unit="events")
    states, all_checkpoints, last, bounds = seen
    state = next((one for one in states if one.version == version), None)
    checkpoints = [one for one in all_checkpoints if one.topic == topic]
    waiting = sum(max(0, last.get(one.partition, 0) - one.sequence) for one in checkpoints)
    cause = stalled(state, checkpoints, last, bounds, watermark)
    return Hop(name=name, waiting=waiting, unit="events", cause=cause, next=commands.PROJECT if cause else "")


def stalled(
    state: VersionState | None,
    checkpoints: Sequence[Checkpoint],
    last: Mapping[int, int],
    bounds: Mapping[int, tuple[int, int]],
    watermark: dt.datetime | None,
) -> str:
    """Why a projection does not follow, or empty when it does."""
    if state is None:
        return "the version was never built"
    if state.state in ("failed", "waiting"):
        return f"{state.state}: {state.detail}"
    for one in checkpoints:
        first, following = bounds.get(one.partition, (0, one.next_offset))
        if one.next_offset < first:
            return f"partition {one.partition}: the log no longer has offset {one.next_offset}: rebuild from the archive"
        if one.sequence < last.get(one.partition, 0) and one.next_offset >= following and bounds:
            return f"waiting for sequence {one.sequence + 1} of partition {one.partition}: archived, not in the log yet"
    instants = [one.as_of for one in checkpoints]
    if watermark is None or not instants:
        return ""
    oldest = min((one for one in instants if one is not None), default=None)
    if None in instants or oldest is None:
        return "a partition has seen no watermark: the projector has not come that far, or is not running"
    if watermark - oldest > SILENT:
        behind, updated = (watermark - oldest).total_seconds(), state.updated_at
        since = f"; it last wrote at {updated:%Y-%m-%d %H:%M:%S}Z" if updated is not None else ""
        return f"{behind:.0f} s behind the last watermark: the projector is slow or not running{since}"
    return ""


def status(around: Around, capability: str) -> Status:
    """One capability: where it is, how far behind, what waits, and how its latest comparison went."""
    facts = gather(around, capability)
    return _status(around, capability, facts)


def status_of_all(around: Around) -> list[Status]:
    """Every capability of the project."""
    return [status(around, name) for name in around.project.settings.capability]


def _status(around: Around, capability: str, facts: Facts) -> Status:
    section, run = around.project.capability(capability), facts.run
    return Status(
        capability=capability,
        means=section.means,
        read_class=section.read_class,
        routes=routes_of(around, capability),
        versions=facts.versions,
        lag=lagging(around, capability),
        parked=tuple(one for one in facts.parked if one.count),
        judged=run.judged if run else None,
        mismatched=run.mismatched if run else None,
        compared_at=run.ended_at if run else None,
        problems=facts.problems,
    )
