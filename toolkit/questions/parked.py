"""What is parked, gathered by reason: one line for a person, however many rows share it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

import msgspec

from toolkit import commands
from toolkit.cutover.facts import Around, changes_again, concerning, serving_versions
from toolkit.loader import Project
from toolkit.loops.reaching import events_of
from toolkit.ports import Archive, ParkedChange, ParkedEvent

T = TypeVar("T")


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
    """what lets the events behind it go on without it"""


def parked_of(around: Around, capabilities: Sequence[str]) -> list[ParkedReason]:
    """Everything that is parked on the way to these capabilities, in each place once."""
    project = around.project
    sections = [project.capability(name) for name in capabilities]
    projections = dict.fromkeys(name for section in sections for name in section.projections)
    serving = serving_versions(around.read_store, list(projections))
    found: list[ParkedReason] = []
    for source in dict.fromkeys([*map(project.legacy_of, sections), *project.settings.legacy]):
        parked = around.archive.parked(source)
        changes = with_roots(concerning(around, source, parked, serving), parked)
        found.extend(_changes(source, changes, changes_again(around, source)))
    return [*found, *_all_events(around, serving)]


def all_parked(around: Around) -> list[ParkedReason]:
    """Everything that is parked, whether a capability reads of it or not."""
    found: list[ParkedReason] = []
    for source in around.project.settings.legacy:
        found.extend(_changes(source, around.archive.parked(source), changes_again(around, source)))
    serving = serving_versions(around.read_store, list(around.project.projections))
    return [*found, *_all_events(around, serving)]


def lacking(
    project: Project, archive: Callable[[], Archive]
) -> Callable[[], dict[str, frozenset[str] | None]]:
    """What tells a reader which subjects have parked changes, each with the events that they may become (None: any)."""
    known: dict[tuple[str, str], frozenset[str] | None] = {}

    def events(source: str, table: str) -> frozenset[str] | None:
        if (source, table) not in known:
            translators = project.translators.get(source)
            told = None if translators is None else events_of(table, translators, project.catalogue)
            known[source, table] = told
        return known[source, table]

    def look() -> dict[str, frozenset[str] | None]:
        found: dict[str, frozenset[str] | None] = {}
        for source in project.settings.legacy:
            for subject, tables in archive().parked_subjects(source).items():
                each = [found.get(subject, frozenset()), *(events(source, table) for table in tables)]
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


def _all_events(around: Around, serving: Mapping[str, int]) -> Iterable[ParkedReason]:
    for name, version in serving.items():
        yield from _events(name, version, around.read_store.parked(name, version))


def _changes(source: str, parked: Iterable[ParkedChange], command: str) -> list[ParkedReason]:
    parked = list(parked)
    roots = {one.change.subject: one.reason for one in parked if not one.held}
    return [
        ParkedReason(
            where=f"changes of {source}",
            reason=reason,
            count=sum(not one.held and one.reason == reason for one in parked),
            held=sum(one.held and roots.get(one.change.subject) == reason for one in parked),
            what=f"{first.change.table} {first.change.op}",
            subject=first.change.subject,
            row=msgspec.json.encode(dict(first.change.row)).decode(),
            command=command,
        )
        for reason, first in _first_by_reason((one.reason, one) for one in parked if not one.held)
    ]


def _events(projection: str, version: int, parked: Iterable[ParkedEvent]) -> list[ParkedReason]:
    parked = list(parked)
    roots = {one.key: one.reason for one in parked if not one.held}
    return [
        ParkedReason(
            where=f"events of {projection} v{version}",
            reason=reason,
            count=sum(not one.held and one.reason == reason for one in parked),
            held=sum(one.held and roots.get(one.key) == reason for one in parked),
            what=first.record.envelope.type,
            subject=first.record.envelope.subject,
            row=first.record.data.decode(),
            command=commands.replay_events(projection),
            event_id=first.record.envelope.id,
            or_skip=commands.skip(projection, first.record.envelope.id),
        )
        for reason, first in _first_by_reason((one.reason, one) for one in parked if not one.held)
    ]


def _first_by_reason(found: Iterable[tuple[str, T]]) -> list[tuple[str, T]]:
    first: dict[str, T] = {}
    for reason, one in found:
        first.setdefault(reason, one)
    return list(first.items())
