"""Gather what gates, guard and overview decide on. What cannot be had is a problem named, not an exception."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from toolkit import commands
from toolkit.core.errors import Infrastructure, NotSetUp, StranglerError
from toolkit.core.events import Catalogue
from toolkit.core.evidence import Verification
from toolkit.core.freshness import Freshness
from toolkit.core.projections import Definition
from toolkit.core.routes import ANY_CONSUMER, REHEARSAL_CONSUMER, Moved, Route
from toolkit.core.unclassified import Unclassified, meaningless
from toolkit.cutover.coverage import uncovered
from toolkit.cutover.gates import Facts, Parked
from toolkit.golden import examples
from toolkit.loader import Project
from toolkit.loops.reaching import Reach
from toolkit.loops.relay import lease_name
from toolkit.ports import (
    Archive,
    Checkpoint,
    Clock,
    Evidence,
    Hole,
    Kinds,
    LeaseList,
    LegacySource,
    Log,
    ParkedChange,
    Pauses,
    ReadStore,
    Retention,
    RouteStore,
    UnclassifiedLedger,
    serving_of,
)
from toolkit.router.paths import furthest_behind, oldest_by_topic
from toolkit.settings import CapabilitySection, duration

T = TypeVar("T")
HISTORY = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """A project with everything around it: what a decision about a capability is made from."""

    project: Project
    legacy: Mapping[str, LegacySource]
    archive: Archive
    read_store: ReadStore
    routes: RouteStore
    evidence: Evidence
    clock: Clock
    code_hash: Callable[[Definition], str]
    unclassified: UnclassifiedLedger | None = None
    log: Log | None = None
    leases: LeaseList | None = None
    pauses: Pauses | None = None
    upcaster_hash: Callable[[Definition, Catalogue], str] | None = None
    kinds: Kinds | None = None
    retention: Retention | None = None
    waiting: Waiting | None = None
    """what was read of parked changes, where it is to be read once"""


class Waiting:
    """Parked changes, and what they may become: the changes of a source are read once, and so are the rules for a table.

    For the time of a command that looks at several capabilities; what waits changes meanwhile, and after it.
    """

    def __init__(self, project: Project, archive: Archive) -> None:
        self._archive = archive
        self._known: dict[str, list[ParkedChange]] = {}
        self.reach = Reach(project.translators, project.catalogue)

    def of(self, source: str) -> list[ParkedChange]:
        """Those of a source, in order of their number."""
        if source not in self._known:
            self._known[source] = self._archive.parked(source)
        return self._known[source]


def reading_once(around: Around) -> Around:
    """The same, for the time of one command."""
    return around if around.waiting is not None else replace(around, waiting=waiting_of(around))


def waiting_of(around: Around) -> Waiting:
    """What is known of parked changes by now; nothing yet, unless they are to be read once."""
    return around.waiting or Waiting(around.project, around.archive)


class Attempts:
    """Ask for facts one by one; a fact that cannot be had leaves its reason under the gates that need it."""

    def __init__(self) -> None:
        self.problems: dict[str, str] = {}
        self.unreachable: set[str] = set()

    def get(self, gates: Sequence[str], ask: Callable[[], T], default: T) -> T:
        """What `ask` gives, or `default` with the reason noted. Raises NotSetUp: nothing can be told before."""
        try:
            return ask()
        except NotSetUp:
            raise
        except StranglerError as error:
            for gate in gates:
                self.problems.setdefault(gate, str(error))
            if isinstance(error, Infrastructure):
                self.unreachable.update(gates)
            return default

    @property
    def told(self) -> tuple[str, ...]:
        """Each problem as a line: which fact, and why it could not be had."""
        return tuple(f"{part}: {problem}" for part, problem in self.problems.items())


def gather(around: Around, capability: str, consumer: str = ANY_CONSUMER) -> Facts:
    """All facts about a capability, as a consumer's route sees it. Raises only when it, or the routes, cannot be read."""
    project, attempts = around.project, Attempts()
    section = project.capability(capability)
    source, route = project.legacy_of(section), around.routes.get(capability, consumer)
    basis = _basis(around, capability, route)
    versions = attempts.get(_SERVING_GATES, lambda: _serving(around, section), _NONE_SERVES)
    uncaptured, holes = attempts.get(("capture",), lambda: _capture(around, source), _NOTHING_CAPTURED)
    evidence = around.evidence
    return Facts(
        **basis,
        consumer=consumer,
        uncaptured=uncaptured,
        holes=holes,
        installation=attempts.get(("capture",), lambda: installation(project, around.legacy[source]), None),
        backfill=attempts.get(("backfill",), lambda: backfilled(around, source), {}),
        parked=attempts.get(("parked",), lambda: parked(around, source, versions), ()),
        unclassified=attempts.get(("unclassified",), lambda: open_shapes(around, source), ()),
        uncovered=attempts.get(("coverage",), lambda: not_covered(around, versions), ()),
        skipped=attempts.get(("skipped", "determinism"), lambda: skipped(around, versions), {}),
        freshness=attempts.get(("freshness",), lambda: freshness(around, capability, versions), None),
        versions=versions,
        run=attempts.get(
            _RUN_GATES, lambda: evidence.last_run(capability, basis["config_hash"], basis["now"]), None
        ),
        verifications=attempts.get(("determinism",), lambda: _verifications(around, versions), {}),
        **_of_code(around, versions),
        rehearsal=attempts.get(
            ("way_back",), lambda: evidence.last_rehearsal(capability, ANY_CONSUMER), None
        ),
        waivers=tuple(attempts.get(("authority",), lambda: evidence.waivers(capability), [])),
        **_of_route(around, route, consumer),
        legacy_answers=attempts.get((), lambda: _answers(around.legacy[source]), False),
        problems=attempts.problems,
        unreachable=bool(attempts.unreachable),
    )


def verified(around: Around, capability: str, versions: Mapping[str, int]) -> Facts:
    """What the gate `determinism` decides on, for versions that need not serve. Raises what cannot be read."""
    return Facts(
        **_basis(around, capability, around.routes.get(capability)),
        consumer=ANY_CONSUMER,
        skipped=skipped(around, versions),
        versions=dict(versions),
        verifications=_verifications(around, versions),
        **_of_code(around, versions),
        waivers=tuple(around.evidence.waivers(capability)),
    )


def _basis(around: Around, capability: str, route: Route) -> dict[str, Any]:
    """What is known without asking: the settings that gates judge by, and when."""
    section = around.project.capability(capability)
    return {
        "capability": capability,
        "route": route,
        "now": around.clock(),
        "read_class": section.read_class,
        "when_stale": section.when_stale,
        "config_hash": around.project.config_hash(capability),
        "limits": section.gates,
    }


def _of_route(around: Around, route: Route, consumer: str) -> dict[str, Any]:
    """What the routes and their history say."""
    history = around.routes.history(route.capability, HISTORY)
    return {
        "since": since(history, route),
        "moved_at": moved_at(history, route),
        "others": _others(around.routes.all(), route, consumer),
    }


_NONE_SERVES: dict[str, int] = {}
_NOTHING_CAPTURED: tuple[tuple[str, ...], tuple[Hole, ...]] = ((), ())
_RUN_GATES = ("shadow", "fingerprints", "accepted")
_SERVING_GATES = ("freshness", "determinism", "coverage", "shadow", "fingerprints", "parked")


def _serving(around: Around, section: CapabilitySection) -> dict[str, int]:
    return serving_versions(around.read_store, section.projections)


def serving_versions(store: ReadStore, projections: Sequence[str]) -> dict[str, int]:
    """The version of each projection that answers reads."""
    serving = {name: serving_of(store.versions(name)) for name in projections}
    return {name: version for name, version in serving.items() if version is not None}


def freshness(around: Around, capability: str, versions: Mapping[str, int]) -> Freshness | None:
    """How far behind the capability's view is; None while a projection has no promise to make."""
    project = around.project
    section = project.capability(capability)
    of_each = [
        around.read_store.checkpoints(name, versions[name]) if name in versions else []
        for name in section.projections
    ]
    if not all(of_each):
        return None
    checkpoints: list[Checkpoint] = [one for some in of_each for one in some]
    clocks = {project.topic(name): source.clock for name, source in around.legacy.items()}
    fallback = around.legacy[project.legacy_of(section)].clock
    return furthest_behind(
        oldest_by_topic(checkpoints),
        lambda topic: clocks.get(topic, fallback)(),
        duration(section.freshness),
    )


def parked(around: Around, source: str, versions: Mapping[str, int]) -> tuple[Parked, ...]:
    """What waits: changes of the sources, and events of each serving version, with the first reason of each."""
    found = list(parked_changes(around, source, versions))
    for projection, version in versions.items():
        events = around.read_store.parked(projection, version)
        first = next((one.reason for one in events if not one.held), "")
        found.append(
            Parked(
                where=f"events of {projection} v{version}",
                count=len(events),
                reason=first,
                next=commands.replay_events(projection),
            )
        )
    return tuple(found)


def parked_changes(around: Around, source: str, versions: Mapping[str, int]) -> tuple[Parked, ...]:
    """Parked changes that these versions may lack, by source: of `source` in any case, of another one where there are any."""
    around = reading_once(around)
    others = [name for name in around.project.settings.legacy if name != source]
    found = [_changes(around, name, versions) for name in (source, *others)]
    return tuple(one for one in found if one.count or one is found[0])


def _changes(around: Around, source: str, versions: Mapping[str, int]) -> Parked:
    every = waiting_of(around).of(source)
    changes = concerning(around, source, every, versions)
    first = next((one.reason for one in changes if not one.held), changes[0].reason if changes else "")
    by_view = {
        name: len(concerning(around, source, changes, {name: version})) if changes else 0
        for name, version in versions.items()
    }
    return Parked(
        where=f"changes of {source}",
        count=len(changes),
        held=sum(one.held for one in changes),
        reason=first,
        next=changes_again(around, source) if changes else "",
        elsewhere=len(every) - len(changes),
        by_view=by_view,
    )


def skipped(around: Around, versions: Mapping[str, int]) -> dict[str, tuple[str, ...]]:
    """By projection, the ids of the events that its serving version never applies."""
    found = {name: around.read_store.skipped(name, version) for name, version in versions.items()}
    return {name: tuple(sorted(one.event_id for one in some)) for name, some in found.items() if some}


def not_covered(around: Around, versions: Mapping[str, int]) -> tuple[str, ...]:
    """The kinds of events in the archive, of the types that these versions read, that lack a path or a golden example."""
    if around.kinds is None:
        return ()
    project = around.project
    known = [project.projections.get(name, {}).get(version) for name, version in versions.items()]
    seen = [one for topic in project.topics for one in around.kinds.seen(topic)]
    kept, _ = examples(project.folder)
    return uncovered(project.catalogue, [one for one in known if one is not None], kept, seen)


def concerning(
    around: Around, source: str, changes: Sequence[ParkedChange], versions: Mapping[str, int]
) -> list[ParkedChange]:
    """Those of the parked changes that may become an event which these versions are made from."""
    project = around.project
    known = [project.projections.get(name, {}).get(version) for name, version in versions.items()]
    handled = {name for one in known if one is not None for name in one.handlers}
    reach = waiting_of(around).reach
    tables = {one.change.table for one in changes}
    related = {table for table in tables if reach.concerns(source, table, handled)}
    return [one for one in changes if one.change.table in related]


def changes_again(around: Around, source: str) -> str:
    """How parked changes are translated again: by the relay that leads, when it begins, or by a command where none does."""
    now, command = around.clock(), commands.replay_changes(source)
    whole = lease_name(source)
    for one in around.leases.leases() if around.leases is not None else ():
        if one.expires_at > now and (one.name == whole or one.name.startswith(f"{whole}:")):
            return (
                f"restart the relay with it ({one.owner} leads, and tries what is parked when it begins); "
                f"or stop it, and {command}"
            )
    return command


def open_shapes(around: Around, source: str) -> tuple[Unclassified, ...]:
    """Kinds of change that gave no event, that the project does not declare meaningless and nobody answers for."""
    if around.unclassified is None:
        return ()
    translators = around.project.translators.get(source)
    declared = translators.declared_meaningless if translators else ()
    return tuple(
        one for one in around.unclassified.of(source) if one.open and not meaningless(one.shape, declared)
    )


def since(history: Sequence[Moved], route: Route) -> dt.datetime | None:
    """When the route came to the stage it is at, or None when the history does not say."""
    for line in history:
        move = line.move
        if move.becomes.consumer != route.consumer or move.becomes.revision > route.revision:
            continue
        if move.becomes.stage is not route.stage:
            return None
        if move.was.stage is not route.stage:
            return line.at
    return None


def moved_at(history: Sequence[Moved], route: Route) -> dt.datetime | None:
    """When the route made its latest move, or None when it never moved."""
    for line in history:
        if line.move.becomes == route:
            return line.at
    return None


def _capture(around: Around, source: str) -> tuple[tuple[str, ...], tuple[Hole, ...]]:
    capture = around.legacy[source].capture
    installed = {table.upper() for table in capture.installed()}
    wanted = [table.table for table in around.project.captured(source)]
    missing = tuple(table for table in wanted if table.upper() not in installed)
    return missing, tuple(hole for hole in capture.holes() if hole.escapes)


def installation(project: Project, source: LegacySource) -> str | None:
    """Which installation of capture: what was seen beside another one may have missed what was written in between.

    Told by its name, not by time: legacy's clock stamps it, and ours what was seen.
    """
    tables = [one.table for one in project.captured(source.name)]
    return source.capture.installation(tables) if tables else None


def backfilled(around: Around, source: str) -> dict[str, bool]:
    """By group of tables: was its history read beside the capture that is installed now?"""
    capture = around.legacy[source].capture
    done = {cursor.tables: cursor.installation for cursor in around.archive.cursors(source) if cursor.done}
    groups = [tuple(table.table for table in group) for group in around.project.groups(source)]
    return {", ".join(tables): done.get(tables, "") == capture.installation(tables) for tables in groups}


def resumed(around: Around, source: str) -> tuple[str, ...]:
    """Groups of tables that were read beside another installation of capture than the one that is there now.

    Not of Debezium's topics: they tell what went in between, as long as they hold it.
    """
    if around.project.settings.legacy[source].capture == "debezium":
        return ()
    capture = around.legacy[source].capture
    known = {cursor.tables: cursor.installation for cursor in around.archive.cursors(source)}
    groups = [tuple(table.table for table in group) for group in around.project.groups(source)]
    return tuple(
        ", ".join(tables)
        for tables in groups
        if known.get(tables) and (now := capture.installation(tables)) and known[tables] != now
    )


def _verifications(around: Around, versions: Mapping[str, int]) -> dict[str, Verification]:
    """The latest of each version as it stands; one from before it was built is of a table that was dropped since."""
    found: dict[str, Verification] = {}
    for name, version in versions.items():
        last = around.evidence.last_verification(name, version)
        states = around.read_store.versions(name)
        built = next((one.built_at for one in states if one.version == version), None)
        if last is not None and (built is None or last.at >= built):
            found[name] = last
    return found


def _of_code(around: Around, versions: Mapping[str, int]) -> dict[str, Any]:
    """The hashes of what these versions are made by, as the project has it now."""
    known = {name: around.project.projections.get(name, {}).get(at) for name, at in versions.items()}
    defined = {name: one for name, one in known.items() if one is not None}
    upcasters, catalogue = around.upcaster_hash, around.project.catalogue
    return {
        "code_hashes": {name: around.code_hash(one) for name, one in defined.items()},
        "upcaster_hashes": {
            name: upcasters(one, catalogue) for name, one in defined.items() if upcasters is not None
        },
    }


def _others(routes: Sequence[Route], mine: Route, consumer: str) -> tuple[Route, ...]:
    return tuple(
        one
        for one in routes
        if one.capability == mine.capability
        and one.consumer not in (consumer, mine.consumer, REHEARSAL_CONSUMER)
    )


def _answers(source: LegacySource) -> bool:
    source.clock()
    return True
