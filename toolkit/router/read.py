"""Answer a capability read: the route decides the side, and the answer says what it is worth."""

from __future__ import annotations

import copy
import datetime as dt
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from toolkit import commands
from toolkit.core.errors import Infrastructure, NotYet, Refused, UsageError
from toolkit.core.freshness import Confidence, Freshness, ReadClass, Token, Verdict, WhenStale, react
from toolkit.core.routes import ANY_CONSUMER, Route, Side, Stage, pick
from toolkit.loader import Project
from toolkit.ports import Clock, LegacyReads, ReadStore, RouteStore, Waivers
from toolkit.router.cached import Cached, Monotonic, Spawn, in_thread
from toolkit.router.paths import Asked, Key, Lacking, Positions, ReadPaths, View, furthest_behind
from toolkit.router.waiting import AsOfs, Waiting, later
from toolkit.settings import duration

AUTHORITY_GATE = "authority"
ROUTES_EVERY = dt.timedelta(seconds=1)
CLOCK_EVERY = dt.timedelta(seconds=10)
CLOCK_TRUSTED = dt.timedelta(hours=1)
PATIENCE = dt.timedelta(seconds=5)
"""How long a read waits for a view to come as far as it asks, unless it says otherwise."""


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """An answer with all that its reader must know to trust it.

    `as_of`: everything the legacy source had committed by then is in the rows. `position` are the next offsets
    by topic and partition. `held` are the keys behind the answer whose events are parked.
    """

    capability: str
    consumer: str
    rows: list[dict[str, object]]
    as_of: dt.datetime | None
    lag: dt.timedelta | None
    position: Positions
    context: str
    read_class: ReadClass
    confidence: Confidence
    served_by: Side
    stage: Stage
    versions: dict[str, int]
    held: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


Observe = Callable[[str, dict[str, object], Reading], None]
"""What a live mirror gets after each read: capability, key, and a reading of its own to do with as it likes.
It must hand over and return (a bounded queue): it runs in the caller's thread."""


class LegacyClock:
    """The legacy source's clock without asking it on every read: its offset to this machine's monotonic clock.

    The reading is dated from before it was asked, so the lag is overstated by one round trip, never understated.
    """

    def __init__(
        self, read: Callable[[], dt.datetime], *, every: dt.timedelta, monotonic: Monotonic, spawn: Spawn
    ) -> None:
        def load() -> tuple[dt.datetime, float]:
            asked = monotonic()
            return read(), asked

        self._monotonic = monotonic
        self._trusted = CLOCK_TRUSTED.total_seconds()
        self._reading = Cached(load, every=every, trusted=CLOCK_TRUSTED, monotonic=monotonic, spawn=spawn)

    def now(self) -> dt.datetime | None:
        """The source's time, or None when it could not be had for so long that nothing may be concluded."""
        reading = self._reading.get()
        if reading is None or self._monotonic() - reading[1] >= self._trusted:
            return None
        return reading[0] + dt.timedelta(seconds=self._monotonic() - reading[1])


class _Routing(msgspec.Struct, frozen=True):
    """One look at the route table and the waivers of `authority`: what decisions are made on."""

    routes: dict[tuple[str, str], Route]
    waived: dict[str, dt.datetime]


@dataclass(slots=True)
class Gave:
    """What a route really gave in this process: readings by side and confidence, and how old the last one was."""

    readings: Counter[str] = field(default_factory=Counter)
    as_of: dt.datetime | None = None
    lag: dt.timedelta | None = None
    refused: int = 0


@dataclass(frozen=True, slots=True)
class _Needed:
    """How far a view has to be for one read, and until when that is waited for (monotonic seconds)."""

    topic: str
    token: Token
    deadline: float
    seconds: float


class Reader:
    """Reads capabilities through their routes. One per process; safe to share between threads.

    The caller pays for the side that answers and for nothing else: routes, the legacy clock and the subjects whose
    changes are `parked` are refreshed beside the reads, and an observer's failures are counted in
    `observer_failures`, never raised.
    """

    def __init__(
        self,
        project: Project,
        legacy: Mapping[str, LegacyReads],
        read_store: ReadStore,
        routes: RouteStore,
        clock: Clock,
        *,
        waivers: Waivers | None = None,
        observe: Observe | None = None,
        parked: Callable[[], Lacking] | None = None,
        routes_every: dt.timedelta = ROUTES_EVERY,
        clock_every: dt.timedelta = CLOCK_EVERY,
        monotonic: Monotonic = time.monotonic,
        spawn: Spawn = in_thread,
    ) -> None:
        self._project, self._clock, self._observe = project, clock, observe
        self._legacy, self._read_store = legacy, read_store
        self._paths: dict[str, ReadPaths] = {}
        self._sources = {project.topic(name): name for name in project.settings.legacy}
        self._clocks = {
            name: LegacyClock(source.clock, every=clock_every, monotonic=monotonic, spawn=spawn)
            for name, source in legacy.items()
        }
        self._routing = Cached(
            lambda: _look(routes, waivers),
            every=routes_every,
            trusted=routes_every * 5,
            monotonic=monotonic,
            spawn=spawn,
        )
        self._parked = (
            None
            if parked is None
            else Cached(
                parked,
                every=routes_every,
                trusted=routes_every * 5,
                monotonic=monotonic,
                spawn=spawn,
            )
        )
        self._monotonic, self._lock = monotonic, threading.Lock()
        self._gave: dict[tuple[str, str], Gave] = {}
        self._waits: dict[tuple[str, ...], Waiting] = {}
        self._routing_trusted = (routes_every * 5).total_seconds()
        self.observer_failures: Counter[str] = Counter()

    def read(
        self,
        capability: str,
        key: Key | str | int,
        *,
        consumer: str = ANY_CONSUMER,
        parameters: Mapping[str, object] | None = None,
        today: dt.date | None = None,
        not_before: Token | dt.datetime | None = None,
        timeout: dt.timedelta = PATIENCE,
    ) -> Reading:
        """Answer the read. Raises UsageError for a bad question, Refused for a view too old to be shown,
        and Infrastructure when the side that has to answer cannot.

        `not_before`: only an answer that contains all that was committed by then will do. A view that is not there yet
        is waited for up to `timeout`; then legacy answers if the capability says so (`when_stale = "legacy"`), or
        NotYet says what is lacking. A bare instant is on the clock of the capability's legacy source.
        """
        paths = self.paths(capability)
        asked = paths.asked(key, parameters, today=today or self._clock().date())
        route, warnings = self.route(capability, consumer)
        needed = None if not_before is None else self._needed(paths, not_before, timeout)
        try:
            reading = self._answer(paths, asked, route, consumer, warnings, needed)
        except Refused:
            with self._lock:
                self._gave.setdefault((capability, consumer), Gave()).refused += 1
            raise
        if needed is not None:
            self._far_enough(paths, reading, needed)
        self._note(reading)
        if self._observe is not None:
            self._show(self._observe, asked, reading)
        return reading

    def _note(self, reading: Reading) -> None:
        with self._lock:
            gave = self._gave.setdefault((reading.capability, reading.consumer), Gave())
            gave.readings[f"{reading.served_by} {reading.confidence}"] += 1
            gave.as_of, gave.lag = reading.as_of, reading.lag

    def gave(self, capability: str, consumer: str = ANY_CONSUMER) -> Gave:
        """What this process's readers of a route were really given, for its metrics."""
        with self._lock:
            return copy.deepcopy(self._gave.get((capability, consumer), Gave()))

    def paths(self, capability: str) -> ReadPaths:
        """Both read paths of a capability. Raises UsageError when there is no such capability."""
        found = self._paths.get(capability)
        if found is None:
            source = self._project.legacy_of(self._project.capability(capability))
            found = ReadPaths(self._project, capability, self._legacy[source], self._read_store)
            self._paths[capability] = found
        return found

    def route(self, capability: str, consumer: str) -> tuple[Route, list[str]]:
        """The route that a read of now would take, with what is doubtful about it."""
        routing, age = self._routing.get(), self._routing.age()
        if routing is None:
            return pick({}, capability, consumer), [f"the routes could not be read: {self._routing.error}"]
        route = pick(routing.routes, capability, consumer)
        if age is not None and age >= self._routing_trusted:
            return route, [
                f"the route is {age:.0f} s old: {self._routing.error or 'the store does not answer'}"
            ]
        return route, []

    def wait(
        self, capability: str, not_before: Token | dt.datetime, timeout: dt.timedelta = PATIENCE
    ) -> dt.datetime:
        """Wait until the view contains all that was committed by then, and return its as-of. Raises NotYet."""
        paths = self.paths(capability)
        needed = self._needed(paths, not_before, timeout)
        waiting = self._waiting_for(paths)
        if not waiting.until(needed.topic, needed.token.instant, needed.deadline):
            raise self._not_yet(paths, needed, waiting.seen, waiting.error)
        return waiting.seen[needed.topic] or needed.token.instant

    def _needed(self, paths: ReadPaths, not_before: Token | dt.datetime, timeout: dt.timedelta) -> _Needed:
        token = (
            not_before if isinstance(not_before, Token) else Token(source=paths.source, instant=not_before)
        )
        if token.source not in self._legacy:
            raise UsageError(
                f"{token}: this project has no legacy source {token.source}; it has {', '.join(self._legacy)}"
            )
        if token.instant.tzinfo is None:
            raise UsageError(f"{token.instant}: an instant needs its zone")
        seconds = timeout.total_seconds()
        return _Needed(self._project.topic(token.source), token, self._monotonic() + seconds, seconds)

    def _waiting_for(self, paths: ReadPaths) -> Waiting:
        """Who waits for the same projections shares the looks at them."""
        projections = tuple(paths.section.projections)
        with self._lock:
            if projections not in self._waits:
                self._waits[projections] = Waiting(paths.as_ofs, self._monotonic)
            return self._waits[projections]

    def _view(self, paths: ReadPaths, asked: Asked, parked: Lacking, needed: _Needed | None) -> View:
        """The view, once it has come as far as is needed. Raises NotYet."""
        view = paths.view(asked, waiting=parked)
        while needed is not None and not later(view.as_ofs, needed.topic, needed.token.instant):
            waiting = self._waiting_for(paths)
            if not waiting.until(needed.topic, needed.token.instant, needed.deadline):
                raise self._not_yet(paths, needed, waiting.seen or view.as_ofs, waiting.error)
            view = paths.view(asked, waiting=parked)
        return view

    def _far_enough(self, paths: ReadPaths, reading: Reading, needed: _Needed) -> None:
        """Legacy is asked after the commit, but a replica may answer. Raises NotYet."""
        if reading.served_by is not Side.LEGACY or needed.token.source != paths.source:
            return
        if reading.as_of is None or reading.as_of < needed.token.instant:
            raise self._not_yet(paths, needed, {needed.topic: reading.as_of}, None)

    def _not_yet(
        self, paths: ReadPaths, needed: _Needed, seen: AsOfs, error: Infrastructure | None
    ) -> NotYet:
        as_of, token = seen.get(needed.topic), needed.token
        lacks = (
            "has seen no watermark of it yet"
            if as_of is None
            else f"is as of {as_of}: {(token.instant - as_of).total_seconds():.3f} s are lacking"
        )
        reasons = [f"the view {lacks}", f"see what it waits for: {commands.freshness(paths.name)}"]
        return NotYet(
            f"{paths.name}: all that {token.source} had committed by {token.instant} was asked for, and waited for "
            f"{needed.seconds:g} s",
            [*([str(error)] if error is not None else []), *reasons],
        )

    def _answer(
        self,
        paths: ReadPaths,
        asked: Asked,
        route: Route,
        consumer: str,
        warnings: list[str],
        needed: _Needed | None = None,
    ) -> Reading:
        if self._stays(paths):
            if route.side(asked.subject) is Side.PROJECTION:
                warnings.append("the capability is authoritative and has no waiver: answered by legacy")
            return self._from_legacy(paths, asked, route, consumer, warnings)
        if route.side(asked.subject) is Side.LEGACY:
            return self._from_legacy(paths, asked, route, consumer, warnings)
        return self._from_projection(paths, asked, route, consumer, warnings, needed)

    def _stays(self, paths: ReadPaths) -> bool:
        """Does this capability stay on legacy, whatever its route says?"""
        if paths.section.read_class is not ReadClass.AUTHORITATIVE:
            return False
        routing = self._routing.get()
        until = routing.waived.get(paths.name) if routing is not None else None
        return until is None or self._clock() >= until

    def _from_legacy(
        self, paths: ReadPaths, asked: Asked, route: Route, consumer: str, warnings: Sequence[str]
    ) -> Reading:
        try:
            answer = paths.legacy(asked)
        except Infrastructure as error:
            raise Infrastructure("\n".join([f"{paths.name}: {error}", *warnings])) from error
        except Exception as error:
            asked.check(paths.name, error)
            problem = f"{paths.name}: the legacy read path failed: {type(error).__name__}: {error}"
            raise Infrastructure("\n".join([problem, *warnings])) from error
        return Reading(
            capability=paths.name,
            consumer=consumer,
            rows=answer.rows,
            as_of=answer.instant,
            lag=dt.timedelta(),
            position={},
            context=self._project.settings.legacy[paths.source].context,
            read_class=paths.section.read_class,
            confidence=Confidence.AUTHORITATIVE,
            served_by=Side.LEGACY,
            stage=route.stage,
            versions={},
            warnings=tuple(warnings),
        )

    def _from_projection(
        self,
        paths: ReadPaths,
        asked: Asked,
        route: Route,
        consumer: str,
        warnings: list[str],
        needed: _Needed | None,
    ) -> Reading:
        retired = route.stage is Stage.RETIRED
        waiting, unknown = self._waiting()
        warnings = [*warnings, *unknown]
        try:
            view = self._view(paths, asked, waiting, needed)
            freshness = self.freshness(paths, view)
        except NotYet as error:
            if paths.section.when_stale is not WhenStale.LEGACY or retired:
                raise
            return self._from_legacy(
                paths, asked, route, consumer, [*warnings, f"{error}; answered by legacy"]
            )
        except Exception as error:
            problem = f"the projection read path failed: {type(error).__name__}: {error}"
            if retired:
                asked.check(paths.name, error)
                kind = UsageError if isinstance(error, UsageError) else Infrastructure
                raise kind(f"{paths.name} is retired, and {problem}") from error
            return self._from_legacy(
                paths, asked, route, consumer, [*warnings, f"{problem}; answered by legacy"]
            )
        confidence = _confidence(freshness, view)
        warnings = [*warnings, *(_perhaps(*one) for one in view.perhaps_held.items())]
        verdict = react(paths.section.when_stale, confidence, legacy_left=not retired)
        if verdict is not Verdict.SERVE:
            warnings = [*warnings, doubt(paths, view, freshness)]
        if verdict is Verdict.REFUSE:
            raise Refused(f"{paths.name} cannot be answered as fresh as its contract says", warnings)
        if verdict is Verdict.FALL_BACK:
            return self._from_legacy(paths, asked, route, consumer, [*warnings, "answered by legacy"])
        return self._shown(paths, view, freshness, confidence, route, consumer, warnings)

    def _waiting(self) -> tuple[Lacking, list[str]]:
        """Subjects with a legacy change that no event tells of, as a look of a moment ago has it, and what is doubtful."""
        if self._parked is None:
            return {}, []
        waiting, age = self._parked.get(), self._parked.age()
        if waiting is None or age is None or age >= self._routing_trusted:
            why = self._parked.error or "the store does not answer"
            return waiting or {}, [f"which changes are parked could not be read: {why}"]
        return waiting, []

    def _shown(
        self,
        paths: ReadPaths,
        view: View,
        freshness: Freshness | None,
        confidence: Confidence,
        route: Route,
        consumer: str,
        warnings: Sequence[str],
    ) -> Reading:
        known = [self._project.projections.get(name, {}).get(at) for name, at in view.versions.items()]
        contexts = [definition.context for definition in known if definition is not None]
        return Reading(
            capability=paths.name,
            consumer=consumer,
            rows=view.rows,
            as_of=view.as_of,
            lag=None if freshness is None else freshness.lag,
            position=view.position,
            context=", ".join(dict.fromkeys(contexts)),
            read_class=paths.section.read_class,
            confidence=confidence,
            served_by=Side.PROJECTION,
            stage=route.stage,
            versions=view.versions,
            held=view.held,
            warnings=tuple(warnings),
        )

    def freshness(self, paths: ReadPaths, view: View) -> Freshness | None:
        """How far behind a view is, on the clock of the source that is furthest behind. None: it cannot be said."""
        if view.as_of is None:
            return None

        def now_of(topic: str) -> dt.datetime | None:
            clock = self._clocks.get(self._sources.get(topic, paths.source))
            return None if clock is None else clock.now()

        return furthest_behind(view.as_ofs, now_of, duration(paths.section.freshness))

    def _show(self, observe: Observe, asked: Asked, reading: Reading) -> None:
        """Let the observer see the reading. Whatever it does, the caller's answer is not touched."""
        try:
            own = msgspec.structs.replace(reading, rows=[_copied(row) for row in reading.rows])
            observe(reading.capability, dict(asked.key), own)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - the caller of a read never pays for the shadow
            self.observer_failures[type(error).__name__] += 1


def doubt(paths: ReadPaths, view: View, freshness: Freshness | None) -> str:
    """Why a projection's answer is not fresh, in one line with its figures."""
    objective = paths.section.freshness
    if view.held:
        shown = ", ".join(view.held[:3]) + (", ..." if len(view.held) > 3 else "")
        return f"events of {shown} are parked: the view may lack their effect"
    if view.as_of is None:
        return f"the view has seen no watermark yet: nothing is promised (objective {objective})"
    if freshness is None or freshness.lag is None:
        return f"the legacy source's clock could not be had: the lag is unknown (objective {objective})"
    return (
        f"the view is {freshness.lag.total_seconds():.1f} s behind the legacy source (objective {objective})"
    )


def _confidence(freshness: Freshness | None, view: View) -> Confidence:
    return Confidence.UNKNOWN if freshness is None else freshness.confidence(held=bool(view.held))


def _perhaps(projection: str, count: int) -> str:
    return f"{count} key{'s' * (count != 1)} of {projection} held back by parked events: this answer may lack their effect"


def _look(routes: RouteStore, waivers: Waivers | None) -> _Routing:
    granted = waivers.waivers() if waivers is not None else []
    return _Routing(
        routes={(route.capability, route.consumer): route for route in routes.all()},
        waived={one.capability: one.expires_at for one in granted if one.gate == AUTHORITY_GATE},
    )


def _copied(row: Mapping[str, object]) -> dict[str, object]:
    """A row that shares nothing mutable with the original."""
    return {name: _own(value) for name, value in row.items()}


def _own(value: object) -> object:
    if isinstance(value, dict):
        return {name: _own(one) for name, one in value.items()}
    return [_own(one) for one in value] if isinstance(value, list) else value
