"""Since when the archive and the log reach, who needs what of them, and what a prune would take from whom."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

import msgspec

from toolkit.core.routes import Stage
from toolkit.cutover.facts import Around
from toolkit.loops.history import ANEW
from toolkit.loops.prune import Limits, Loss, PrunePlan
from toolkit.ports import Kept, Retention
from toolkit.settings import age, duration


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of one partition: events in the archive, records in the log."""

    topic: str
    partition: int
    pruned: int
    first: int
    since: dt.datetime | None
    events: int
    log_first: int
    log_records: int


class Archived(msgspec.Struct, frozen=True, kw_only=True):
    """What there is of history, and what a prune would do by the settings as they are."""

    keep: str
    log_keep: str
    since: dt.datetime | None
    """the oldest event that is kept; with `whole`, the beginning of all history"""
    whole: bool
    """was nothing ever pruned?"""
    size: int | None
    stray: int
    partitions: tuple[Reach, ...]
    plan: PrunePlan
    next: str = ""


def limits(around: Around) -> Limits:
    """As the settings say."""
    settings = around.project.settings
    return Limits(archive=age(settings.archive.keep), log=age(settings.log.keep))


def archived(around: Around, retention: Retention, plan: PrunePlan) -> Archived:
    """What is kept since when."""
    settings = around.project.settings
    reaches = tuple(
        reach for topic in around.project.topics for reach in _reaches(around, retention.kept(topic), topic)
    )
    whole = not any(one.pruned for one in reaches)
    return Archived(
        keep=settings.archive.keep,
        log_keep=settings.log.keep,
        since=min((one.since for one in reaches if one.since is not None), default=None),
        whole=whole,
        size=retention.size(),
        stray=retention.stray(),
        partitions=reaches,
        plan=plan,
        next="" if whole else _next(around, reaches),
    )


def _reaches(around: Around, kept: list[Kept], topic: str) -> list[Reach]:
    bounds = around.log.bounds(topic) if around.log is not None else {}
    return [
        Reach(
            topic=topic,
            partition=one.partition,
            pruned=one.pruned,
            first=one.pruned + 1,
            since=one.since,
            events=one.events,
            log_first=bounds.get(one.partition, (0, 0))[0],
            log_records=bounds.get(one.partition, (0, 0))[1] - bounds.get(one.partition, (0, 0))[0],
        )
        for one in kept
    ]


def _next(around: Around, reaches: tuple[Reach, ...]) -> str:
    for topic in around.project.topics:
        needed = {one.partition: 1 for one in reaches if one.topic == topic}
        places = around.archive.offsets(topic, needed)
        firsts = {one.partition: one.log_first for one in reaches if one.topic == topic}
        if any(places[partition] < firsts[partition] for partition in places):
            return ANEW
    return (
        "the log still has every event: a version is built from it with `strangler rebuild NAME --from log`"
    )


def shortened(around: Around, topics: Iterable[str]) -> str:
    """Since when events of these topics are kept, if that is not from the beginning; empty when it is."""
    if around.retention is None:
        return ""
    kept = [one for topic in topics for one in around.retention.kept(topic)]
    if not any(one.pruned for one in kept):
        return ""
    since = min((one.since for one in kept if one.since is not None), default=None)
    told = f"events are kept since {since:%Y-%m-%d %H:%M}Z" if since is not None else "no event is kept"
    return f"{told}, not from the beginning: nothing is rebuilt, verified or folded anew from the archive"


def losses(around: Around) -> list[Loss]:
    """What each projection loses with the beginning of its history."""
    return [Loss(projection=name, why=tuple(_lost(around, name))) for name in around.project.projections]


def _lost(around: Around, projection: str) -> list[str]:
    told = ["no version of it could be rebuilt, verified or folded anew from the archive"]
    now = around.clock()
    for name, section in around.project.settings.capability.items():
        if projection not in section.projections:
            continue
        stages = {one.stage for one in around.routes.all() if one.capability == name} or {Stage.LEGACY}
        if stages != {Stage.RETIRED}:
            where = ", ".join(sorted(stages))
            told.append(
                f"{name} is at {where}: its gate `determinism` asks for a replay that could not be made"
            )
        valid = duration(section.gates.verification_age)
        for version in around.read_store.versions(projection):
            evidence = around.evidence.last_verification(projection, version.version)
            if evidence is not None and now - evidence.at < valid:
                until = evidence.at + valid
                told.append(
                    f"the replay of v{version.version} is evidence for {name} until {until:%Y-%m-%d %H:%M}Z"
                )
    return told
