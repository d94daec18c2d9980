"""The three questions as values: what is authoritative here, how far behind is the view, how do we repair it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

import msgspec

from toolkit.core.errors import Infrastructure, NotSetUp
from toolkit.core.events import EventType, Meaning
from toolkit.core.freshness import ReadClass, WhenStale
from toolkit.core.handlers import Handler
from toolkit.core.routes import Route, Stage
from toolkit.cutover.facts import Around, Attempts, gather, reading_once, serving_versions
from toolkit.cutover.gates import Facts, Parked
from toolkit.questions.lagging import Lag, lagging
from toolkit.questions.retention import shortened
from toolkit.questions.serving import routes_of, stays


class ContractColumn(msgspec.Struct, frozen=True, kw_only=True):
    """One column of the promise."""

    name: str
    type: str
    nullable: bool
    vocabulary: tuple[str, ...]


class ContractEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event the view is made from, with what it means and what nobody may conclude from it."""

    name: str
    meaning: int
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
    `problems` says what could not be told, and why.
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
    problems: dict[str, str] = {}
    unreachable: bool = False
    """does a problem come of a server that does not answer, or has lost its tables?"""


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """One capability on one line, and a little more."""

    capability: str
    means: str
    read_class: ReadClass
    routes: tuple[Route, ...]
    versions: dict[str, int]
    lag: Lag
    parked: tuple[Parked, ...]
    skipped: dict[str, tuple[str, ...]]
    judged: int | None
    mismatched: int | None
    compared_at: dt.datetime | None
    problems: dict[str, str]
    unreachable: bool = False
    """does a problem come of a server that does not answer?"""
    holes: dict[str, int] = {}
    """source to how many ways there are by which its changes escape, where there are any"""
    history: str = ""
    """since when its events are kept, if not from their beginning"""


def authority(around: Around, capability: str) -> Authority:
    """What is authoritative here? What the read store alone knows is a problem while it is away, and no error."""
    project, attempts = around.project, Attempts()
    section = project.capability(capability)
    source = project.legacy_of(section)
    none: tuple[Route, ...] = ()
    routes = attempts.get(("routes",), lambda: routes_of(around, capability), none)
    staying = attempts.get(("routes",), lambda: stays(around, capability, section.read_class), "")
    versions = attempts.get(("read store",), lambda: _serving(around, section.projections), None)
    known = versions or {}
    view = _view(section.projections, versions)
    made = (
        attempts.get((f"{name} v{at}",), lambda name=name, at=at: _contract(around, name, at), None)  # type: ignore[misc]
        for name, at in known.items()
    )
    return Authority(
        capability=capability,
        means=section.means,
        record=source,
        record_context=project.settings.legacy[source].context,
        read_class=section.read_class,
        stays=staying,
        routes=routes,
        answers={one.consumer: _who(one, source, view, staying) for one in routes},
        contracts=tuple(one for one in made if one is not None),
        objective=section.freshness,
        when_stale=section.when_stale,
        problems=attempts.problems,
        unreachable=bool(attempts.unreachable),
    )


def _serving(around: Around, projections: Sequence[str]) -> dict[str, int] | None:
    """A read store that has lost its tables cannot be asked, as one that is away; what the routes say stays true."""
    try:
        return serving_versions(around.read_store, projections)
    except NotSetUp as error:
        raise Infrastructure(str(error)) from error


def _view(projections: Sequence[str], versions: Mapping[str, int] | None) -> str:
    if versions is None:
        return f"{' + '.join(projections)} (nobody can tell which version)"
    return " + ".join(
        f"{name} v{versions[name]}" if name in versions else f"{name} (no version serves)"
        for name in projections
    )


def _who(route: Route, source: str, view: str, stays: str) -> str:
    legacy = f"legacy {source}"
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
            _event(around.project.catalogue.types[name], handler)
            for name, handler in definition.handlers.items()
        ),
    )


def _event(kind: EventType, handler: Handler) -> ContractEvent:
    """What an event means to a handler: as the newest meaning that it reads says, where that is described."""
    number = max(handler.meanings)
    said = kind.meanings.get(number, Meaning(means=f"nobody says what meaning {number} means"))
    return ContractEvent(
        name=kind.name,
        meaning=number,
        means=said.means,
        not_implied=said.not_implied,
        creates=handler.creates,
    )


def status(around: Around, capability: str) -> Status:
    """One capability: where it is, how far behind, what waits, and how its latest comparison went."""
    around = reading_once(around)
    return _status(around, capability, gather(around, capability))


def status_of_all(around: Around) -> list[Status]:
    """Every capability of the project."""
    around = reading_once(around)
    return [status(around, name) for name in around.project.settings.capability]


def _status(around: Around, capability: str, facts: Facts) -> Status:
    project, run, attempts = around.project, facts.run, Attempts()
    section = project.capability(capability)
    lag = lagging(around, capability)
    history = attempts.get(("history",), lambda: shortened(around, around.project.topics), "")
    return Status(
        capability=capability,
        means=section.means,
        read_class=section.read_class,
        routes=routes_of(around, capability),
        versions=facts.versions,
        lag=lag,
        parked=tuple(one for one in facts.parked if one.count),
        skipped=facts.skipped,
        judged=run.judged if run else None,
        mismatched=run.mismatched if run else None,
        compared_at=run.ended_at if run else None,
        problems={**facts.problems, **attempts.problems},
        holes={project.legacy_of(section): len(facts.holes)} if facts.holes else {},
        history=history,
        unreachable=facts.unreachable or lag.unreachable or bool(attempts.unreachable),
    )
