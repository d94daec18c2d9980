"""What is parked, gathered by reason: one line for a person, however many rows share it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import msgspec

from toolkit import commands
from toolkit.cutover.facts import Around, changes_again, concerning, serving_versions
from toolkit.loader import Project
from toolkit.loops.reaching import Reach
from toolkit.loops.unit import describe
from toolkit.ports import Archive, ParkedChange, ParkedEvent


class ParkedOne(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is parked: what it is, where, and for what. `because` is what it waits for, if it only waits."""

    where: str
    id: str
    """of an event its id, of a change its position in the source"""
    what: str
    subject: str
    held: bool
    reason: str
    because: str
    parked_at: dt.datetime
    row: str


class ParkedReason(msgspec.Struct, frozen=True, kw_only=True):
    """One reason in one place: how many things are parked for it, how many wait behind, and the first row."""

    where: str
    reason: str
    count: int
    held: int
    what: str
    subject: str
    row: str
    command: str
    event_id: str = ""
    """of the first row, where it is an event"""
    or_skip: str = ""
    """what lets the events behind it go on without it, or without all of them"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where things are parked, how they are tried again, and the projection whose events they are, if they are events."""

    where: str
    again: str
    projection: str
    ones: list[ParkedOne]


def parked_ones(around: Around, capabilities: Sequence[str], because: str = "") -> list[ParkedOne]:
    """Each thing that is parked on the way to these capabilities (without any: everywhere), for a reason with this text."""
    return [one for place in _places(around, capabilities, because) for one in place.ones]


def parked_reasons(around: Around, capabilities: Sequence[str], because: str = "") -> list[ParkedReason]:
    """The same by reason: rows that differ in nothing but which row it is share one."""
    return [one for place in _places(around, capabilities, because) for one in _reasons(place)]


def _places(around: Around, capabilities: Sequence[str], because: str) -> list[_Place]:
    project = around.project
    sections = [project.capability(name) for name in capabilities]
    projections = dict.fromkeys(name for section in sections for name in section.projections)
    serving = serving_versions(around.read_store, list(projections if capabilities else project.projections))
    found: list[_Place] = []
    for source in dict.fromkeys([*map(project.legacy_of, sections), *project.settings.legacy]):
        parked = around.archive.parked(source)
        changes = with_roots(concerning(around, source, parked, serving), parked) if capabilities else parked
        ones = _changes(source, changes)
        found.append(
            _Place(
                where=f"changes of {source}", again=changes_again(around, source), projection="", ones=ones
            )
        )
    for name, version in serving.items():
        ones = _events(name, version, around.read_store.parked(name, version))
        where, again = f"events of {name} v{version}", commands.replay_events(name)
        found.append(_Place(where=where, again=again, projection=name, ones=ones))
    return [replace(one, ones=[it for it in one.ones if because in it.because]) for one in found]


def lacking(
    project: Project, archive: Callable[[], Archive]
) -> Callable[[], dict[str, frozenset[str] | None]]:
    """What tells a reader which subjects have parked changes, each with the events that they may become (None: any)."""
    reach = Reach(project.translators, project.catalogue)

    def look() -> dict[str, frozenset[str] | None]:
        found: dict[str, frozenset[str] | None] = {}
        for source in project.settings.legacy:
            for subject, tables in archive().parked_subjects(source).items():
                each = [found.get(subject, frozenset()), *(reach.of(source, table) for table in tables)]
                known_all = [one for one in each if one is not None]
                found[subject] = (
                    frozenset().union(*known_all) if tables and len(known_all) == len(each) else None
                )
        return found

    return look


def with_roots(changes: Sequence[ParkedChange], parked: Sequence[ParkedChange]) -> list[ParkedChange]:
    """These changes, and what they wait for: all roots of the source, where one waits for another subject or table."""
    roots = {one.change.subject for one in changes if not one.held}
    if all(not one.held or one.change.subject in roots for one in changes):
        return list(changes)
    here = {one.change.number for one in changes}
    return [*changes, *(one for one in parked if not one.held and one.change.number not in here)]


def _changes(source: str, parked: Sequence[ParkedChange]) -> list[ParkedOne]:
    roots = {one.change.subject: alike(one) for one in parked if not one.held}
    return [
        ParkedOne(
            where=f"changes of {source}",
            id=one.change.position,
            what=f"{one.change.table} {one.change.op}",
            subject=one.change.subject,
            held=one.held,
            reason=one.reason,
            because=roots.get(one.change.subject, one.reason) if one.held else alike(one),
            parked_at=one.parked_at,
            row=msgspec.json.encode(dict(one.change.row)).decode(),
        )
        for one in parked
    ]


def alike(parked: ParkedChange) -> str:
    """Its reason without which row it is, which others share."""
    change = parked.change
    return parked.reason.replace(describe(change), f"{change.table} ({change.op})")


def _events(projection: str, version: int, parked: Sequence[ParkedEvent]) -> list[ParkedOne]:
    roots = {one.key: one.reason for one in parked if not one.held}
    return [
        ParkedOne(
            where=f"events of {projection} v{version}",
            id=one.record.envelope.id,
            what=one.record.envelope.type,
            subject=one.record.envelope.subject,
            held=one.held,
            reason=one.reason,
            because=roots.get(one.key, one.reason) if one.held else one.reason,
            parked_at=one.parked_at,
            row=one.record.data.decode(),
        )
        for one in parked
    ]


def _reasons(place: _Place) -> list[ParkedReason]:
    firsts: dict[str, ParkedOne] = {}
    for one in place.ones:
        if not one.held:
            firsts.setdefault(one.because, one)
    return [_reason(place, because, first) for because, first in firsts.items()]


def _reason(place: _Place, because: str, first: ParkedOne) -> ParkedReason:
    mine = [one for one in place.ones if one.because == because]
    count, or_skip = sum(not one.held for one in mine), ""
    if place.projection:
        alone = commands.skip(place.projection, first.id)
        or_skip = alone if count == 1 else commands.skip_all(place.projection, because)
    return ParkedReason(
        where=place.where,
        reason=first.reason if count == 1 else because,
        count=count,
        held=len(mine) - count,
        what=first.what,
        subject=first.subject,
        row=first.row,
        command=place.again,
        event_id=first.id if place.projection else "",
        or_skip=or_skip,
    )
