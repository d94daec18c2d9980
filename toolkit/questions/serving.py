"""What a route really gives now: the side that answers, the version, and the as-of that its reader would be told."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import msgspec

from toolkit.core.errors import Infrastructure
from toolkit.core.evidence import Waiver
from toolkit.core.freshness import Confidence, ReadClass, Verdict, react
from toolkit.core.routes import ANY_CONSUMER, REHEARSAL_CONSUMER, Route, Side, Stage, pick
from toolkit.cutover.facts import Around, Attempts
from toolkit.ports import SqlReads
from toolkit.router.paths import furthest_behind, oldest, oldest_by_topic
from toolkit.router.read import AUTHORITY_GATE
from toolkit.settings import duration

Now = Callable[[str], tuple[dt.datetime, bool]]
"""The time at a topic's source, and whether it is its own clock."""
_ANYTHING = "SELECT 1 AS one"


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """What a consumer is given now. `side` is who answers; `how` says why, in a few words."""

    consumer: str
    stage: Stage
    side: Side
    how: str
    versions: dict[str, int] = {}
    as_of: dt.datetime | None = None
    as_ofs: dict[str, dt.datetime | None] = {}


def routes_of(around: Around, capability: str) -> tuple[Route, ...]:
    """Every route of a capability, that of `*` first, even when it never moved."""
    mine = {one.consumer: one for one in around.routes.all() if one.capability == capability}
    star = pick({(capability, name): one for name, one in mine.items()}, capability, ANY_CONSUMER)
    others = [one for name, one in mine.items() if name not in (ANY_CONSUMER, REHEARSAL_CONSUMER)]
    return (star, *others)


def stays(around: Around, capability: str, read_class: ReadClass) -> str:
    """Why the capability stays on legacy whatever its route says; empty when it need not."""
    if read_class is not ReadClass.AUTHORITATIVE:
        return ""
    now = around.clock()
    waivers: list[Waiver] = around.evidence.waivers(capability)
    if any(one.gate == AUTHORITY_GATE and one.active(now) for one in waivers):
        return ""
    return "authoritative, and no waiver is in force"


def served(around: Around, capability: str, now_of: Now, attempts: Attempts) -> tuple[Served, ...]:
    """What each consumer's route gives: the view is asked as a read asks it, in one transaction with its positions."""
    section = around.project.capability(capability)
    none: tuple[Route, ...] = ()
    routes = attempts.get(("routes",), lambda: routes_of(around, capability), none)
    staying = attempts.get(("routes",), lambda: stays(around, capability, section.read_class), "")
    return tuple(
        Served(consumer=one.consumer, stage=one.stage, side=Side.LEGACY, how=staying or "by its route")
        if staying or one.stage in (Stage.LEGACY, Stage.SHADOW)
        else _from_view(around, capability, one, now_of)
        for one in routes
    )


def _from_view(around: Around, capability: str, route: Route, now_of: Now) -> Served:
    project, section = around.project, around.project.capability(capability)
    timeout = duration(around.project.settings.read_store.read_timeout)
    retired = route.stage is Stage.RETIRED
    store = around.read_store
    if not isinstance(store, SqlReads):
        how = "refused: the read store answers no SQL"
        return Served(consumer=route.consumer, stage=route.stage, side=Side.PROJECTION, how=how)
    try:
        answer = store.query(_ANYTHING, {}, projections=section.projections, timeout=timeout)
    except Infrastructure as error:
        side = Side.PROJECTION if retired else Side.LEGACY
        how = f"the view cannot be asked ({error})" + ("" if retired else ": answered by legacy")
        return Served(consumer=route.consumer, stage=route.stage, side=side, how=how)
    as_ofs = oldest_by_topic([one for some in answer.checkpoints.values() for one in some])
    found = furthest_behind(as_ofs, lambda topic: _own(now_of(topic)), duration(section.freshness))
    confidence = Confidence.UNKNOWN if found is None else found.confidence()
    verdict = react(section.when_stale, confidence, legacy_left=not retired)
    how = _HOW[verdict]
    if verdict is Verdict.FALL_BACK and not now_of(project.topic(project.legacy_of(section)))[1]:
        how = "cannot be judged, and legacy, which would answer, does not"
    share = f", for {route.share / 100:g} % of subjects" if route.stage is Stage.CANARY else ""
    return Served(
        consumer=route.consumer,
        stage=route.stage,
        side=Side.LEGACY if verdict is Verdict.FALL_BACK else Side.PROJECTION,
        how=f"{how} ({confidence}){share}",
        versions=answer.versions,
        as_of=oldest(as_ofs.values()),
        as_ofs=as_ofs,
    )


def _own(reading: tuple[dt.datetime, bool]) -> dt.datetime | None:
    return reading[0] if reading[1] else None


_HOW = {
    Verdict.SERVE: "served",
    Verdict.WARN: "served with a warning",
    Verdict.FALL_BACK: "falls back to legacy",
    Verdict.REFUSE: "refused",
}
