"""Translate: captured changes become events in the archive, or are parked with their reason; never neither.

The deciding part is pure (`units`, `translate`); `Translation` does it for one source, one step at a time.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from toolkit.core.changes import Change, Op
from toolkit.core.errors import Untranslatable
from toolkit.core.events import Catalogue, Event
from toolkit.core.records import Draft, drafts
from toolkit.core.translators import Scope, Translator, Translators
from toolkit.ports import Archive, Clock, Cursor, LegacySource, ParkedChange

HELD = "held back behind an earlier change of the same subject"
OUTBOX_TYPE = "TYPE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """Changes that are translated together or not at all: what one legacy transaction did to one subject.

    All rows that backfill found of a subject are one unit, too. Where the engine gives no transaction id, each
    change is its own.
    """

    subject: str
    changes: tuple[Change, ...]

    @property
    def number(self) -> int:
        """Its place among the captured changes of its subject; what backfill found comes before all of them."""
        return self.changes[0].number


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a sequence of changes came to: events in order, and what is parked."""

    drafts: list[Draft]
    parked: list[ParkedChange]


class Translated(msgspec.Struct, frozen=True, kw_only=True):
    """What one step did. `held` of the `parked` ones wait only for an earlier one of their subject."""

    changes: int = 0
    events: int = 0
    parked: int = 0
    held: int = 0


def units(changes: Iterable[Change]) -> list[Unit]:
    """Group changes into units, in the order of each unit's first change."""
    grouped: dict[tuple[str, str], list[Change]] = {}
    for change in changes:
        together = "snapshot" if change.op is Op.SNAPSHOT else change.transaction or change.position
        grouped.setdefault((together, change.subject), []).append(change)
    return [Unit(subject=subject, changes=tuple(some)) for (_, subject), some in grouped.items()]


def translate(
    changes: Iterable[Change],
    rules: Sequence[Translator],
    catalogue: Catalogue,
    held: Mapping[str, int],
    now: dt.datetime,
) -> Outcome:
    """Translate unit by unit. A unit that cannot be translated is parked, and whatever follows of its subject with it.

    `held` gives, for each subject with something parked, the number of the first such change: what comes after it
    waits, what came before it (a step that is done again after a crash) does not.
    """
    waiting = dict(held)
    outcome = Outcome(drafts=[], parked=[])
    for unit in units(changes):
        if waiting.get(unit.subject, unit.number) < unit.number:
            outcome.parked.extend(_park(unit, HELD, held=True, now=now))
            continue
        try:
            outcome.drafts.extend(translate_unit(unit, rules, catalogue))
        except Untranslatable as error:
            waiting[unit.subject] = min(unit.number, waiting.get(unit.subject, unit.number))
            outcome.parked.extend(_park(unit, str(error), held=False, now=now))
    return outcome


def _park(unit: Unit, reason: str, *, held: bool, now: dt.datetime) -> list[ParkedChange]:
    return [
        ParkedChange(source=change.source, change=change, reason=reason, held=held, parked_at=now)
        for change in unit.changes
    ]


def translate_unit(unit: Unit, rules: Sequence[Translator], catalogue: Catalogue) -> list[Draft]:
    """All events of a unit, by the change they come from. Raises Untranslatable with rule, table and row."""
    given: list[list[Event]] = [[] for _ in unit.changes]
    spoken = [False for _ in unit.changes]
    for rule in rules:
        mine = [at for at, change in enumerate(unit.changes) if _speaks(rule, change)]
        if not mine:
            continue
        for at in mine:
            spoken[at] = True
        if rule.scope is Scope.TRANSACTION:
            given[mine[-1]].extend(_apply(rule, [unit.changes[at] for at in mine]))
        else:
            for at in mine:
                given[at].extend(_apply(rule, [unit.changes[at]]))
    for change, known in zip(unit.changes, spoken, strict=True):
        if not known:
            raise Untranslatable(_unspoken(change))
    return [
        draft
        for change, events in zip(unit.changes, given, strict=True)
        for draft in _drafts(catalogue, change, events)
    ]


def _speaks(rule: Translator, change: Change) -> bool:
    if change.table not in rule.tables:
        return False
    return rule.scope is not Scope.OUTBOX or str(change.row.get(OUTBOX_TYPE)) in rule.types


def _unspoken(change: Change) -> str:
    if OUTBOX_TYPE in change.row:
        return (
            f"no translator speaks for the type {change.row[OUTBOX_TYPE]!r} of outbox {change.table}: "
            f'write one with @acl.outbox("{change.table}", "{change.row[OUTBOX_TYPE]}")'
        )
    return f'no translator speaks for {change.table}: write one with @acl.table("{change.table}")'


def _apply(rule: Translator, changes: list[Change]) -> list[Event]:
    try:
        return list(rule.function(changes if rule.scope is Scope.TRANSACTION else changes[0]))
    except Exception as error:
        why = str(error) if isinstance(error, Untranslatable) else f"{type(error).__name__}: {error}"
        raise Untranslatable(f"{rule.name} on {describe(changes[-1])}: {why}") from error


def _drafts(catalogue: Catalogue, change: Change, events: list[Event]) -> list[Draft]:
    try:
        return drafts(catalogue, change, events)
    except Untranslatable as error:
        raise Untranslatable(f"{describe(change)}: {error}") from error


def describe(change: Change) -> str:
    """Which row: `POLMAST POL_NO=P000000001`, with its subject where the key columns are not known."""
    key = ", ".join(f"{column}={change.text(column)}" for column in change.key if column in change.row)
    return f"{change.table} {key or change.subject} ({change.op})"


def _note(held: dict[str, int], parked: Iterable[ParkedChange]) -> None:
    for one in parked:
        number = one.change.number
        held[one.change.subject] = min(number, held.get(one.change.subject, number))


class Translation:
    """Translates one source's changes into the archive. Only its leader may; the archive refuses others by epoch."""

    def __init__(
        self,
        source: LegacySource,
        translators: Translators,
        catalogue: Catalogue,
        archive: Archive,
        *,
        groups: Sequence[Sequence[str]],
        topic: str,
        partitions: int,
        clock: Clock,
    ) -> None:
        self.source, self.archive = source, archive
        self._rules, self._catalogue = translators.rules, catalogue
        self._groups = [tuple(group) for group in groups]
        self._topic, self._partitions, self._clock = topic, partitions, clock
        self._held: dict[str, int] | None = None

    def cursors(self) -> list[Cursor]:
        """How far the backfill of each group is; a group that was never begun holds its changes back."""
        known = {cursor.tables: cursor for cursor in self.archive.cursors(self.source.name)}
        return [known.get(group, Cursor(tables=group)) for group in self._groups]

    def step(self, epoch: int, limit: int) -> Translated:
        """Translate what waits, up to about `limit` changes: archive first, then mark in the legacy source.

        A crash in between does the step again: the same ids, which the archive knows already.
        """
        changes = self.source.capture.pending(limit, self.cursors())
        if not changes:
            return Translated()
        done = self.keep(changes, epoch)
        self.source.capture.mark([change.number for change in changes])
        return done

    def keep(
        self,
        changes: Sequence[Change],
        epoch: int,
        *,
        absorbed: Sequence[int] = (),
        cursors: Sequence[Cursor] = (),
    ) -> Translated:
        """Translate these changes and archive what comes of them, in one transaction."""
        outcome = translate(changes, self._rules, self._catalogue, self.held(), self._clock())
        events = self.archive.append(
            self.source.name,
            self._topic,
            outcome.drafts,
            partitions=self._partitions,
            epoch=epoch,
            absorbed=absorbed,
            parked=outcome.parked,
            cursors=cursors,
        )
        _note(self.held(), outcome.parked)
        held = sum(one.held for one in outcome.parked)
        return Translated(changes=len(changes), events=events, parked=len(outcome.parked), held=held)

    def held(self) -> dict[str, int]:
        """Subjects with a parked change, and the first one's number. Read once: only the leader parks and releases."""
        if self._held is None:
            self._held = {}
            _note(self._held, self.archive.parked(self.source.name))
        return self._held

    def replay(self, epoch: int, chosen: Callable[[ParkedChange], bool] = lambda _: True) -> Translated:
        """Translate the parked changes again, in order. What is mended flows, and what it held back follows it."""
        self._held = None
        waiting = [one for one in self.archive.parked(self.source.name) if chosen(one)]
        changes = [one.change for one in waiting]
        outcome = translate(changes, self._rules, self._catalogue, {}, self._clock())
        stays = {one.change.position for one in outcome.parked}
        events = self.archive.append(
            self.source.name,
            self._topic,
            outcome.drafts,
            partitions=self._partitions,
            epoch=epoch,
            parked=outcome.parked,
            unparked=[one for one in waiting if one.change.position not in stays],
        )
        self._held = None
        return Translated(changes=len(changes), events=events, parked=len(stays))
