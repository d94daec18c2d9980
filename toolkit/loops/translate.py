"""Translate: captured changes become events in the archive, or are parked with their reason; never neither.

The deciding part is pure (`units`, `translate`); `Translation` does it for one source, one step at a time.
"""

from __future__ import annotations

import datetime as dt
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from toolkit.core.changes import Change, Op
from toolkit.core.cloudevents import size
from toolkit.core.events import Catalogue
from toolkit.core.outbox import Layout, facts
from toolkit.core.records import Draft, Record
from toolkit.core.translators import Translators
from toolkit.core.unclassified import tally
from toolkit.inbox import Repeating
from toolkit.loops.namesakes import Namesakes
from toolkit.loops.unit import Failed, Places, Rules, Unit, describe, translate_unit
from toolkit.ports import Archive, Clock, Cursor, LegacySource, ParkedChange

HELD = "held back behind an earlier change of the same subject"
_NOWHERE = Places()
_ATTRIBUTES = 4000
"""More bytes than the attributes of an event take beside its subject; what comes near is measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a sequence of changes came to: events in order, what is parked, and what gave nothing at all."""

    drafts: list[Draft]
    parked: list[ParkedChange]
    silent: list[Change]


@dataclass(frozen=True, slots=True, kw_only=True)
class Translated:
    """What one step did. `held` of the `parked` ones wait only for another one of their subject."""

    changes: int = 0
    events: int = 0
    parked: int = 0
    held: int = 0
    records: Sequence[Record] = field(default=(), compare=False, repr=False)


def units(changes: Iterable[Change], tables: Sequence[str] = (), places: Places = _NOWHERE) -> list[Unit]:
    """Group changes into units, in the order in which they have to be translated; `tables` orders rows of a backfill.

    A unit's place is its last number. Of two transactions that wrote one row, the second waited for the commit of the
    first before it drew the number of that change, so it ends later, wherever it began.
    """
    rank = {table: at for at, table in enumerate(tables)}
    grouped: dict[tuple[str, str], list[Change]] = {}
    for change in changes:
        # A capture that fetches says which rows it found in one look; a backfill's rows of a subject all belong together.
        backfilled = "snapshot" if change.op is Op.SNAPSHOT else change.position
        together = change.transaction or backfilled
        grouped.setdefault((together, change.subject), []).append(change)
    for some in grouped.values():
        if len(some) > 1:
            some.sort(key=lambda one: (one.number, rank.get(one.table, len(rank))))
    made = sorted(grouped.values(), key=lambda some: some[-1].number)
    nested = (places.nested(some) if len(some) > 1 else some for some in made)
    return [Unit(subject=some[0].subject, changes=tuple(some)) for some in nested]


def translate(
    changes: Iterable[Change],
    translators: Translators,
    catalogue: Catalogue,
    held: Mapping[str, int],
    now: dt.datetime,
    largest: int | None = None,
) -> Outcome:
    """Translate unit by unit. A unit that cannot be translated is parked, and whatever follows of its subject with it.

    So is one with an event of more than `largest` bytes: no sequence is drawn for what the log would refuse.

    `held` gives, for each subject with something parked, the number of the first such unit: what comes after it
    waits, what came before it (a step that is done again after a crash) does not.
    """
    waiting = dict(held)
    outcome = Outcome(drafts=[], parked=[], silent=[])
    rules = Rules(translators)
    found = units(changes, _tables(translators), Places.of(translators))
    namesakes = Namesakes([change for unit in found for change in unit.changes], translators)
    failed_here: set[str] = set()
    for unit in namesakes.in_order(found):
        first = waiting.get(unit.subject)
        if first is not None and first < unit.number and unit.subject not in failed_here:
            # As they came: with what is parked already, rows that share the subject are judged anew.
            outcome.parked.extend(_park(one, HELD, held=True, now=now) for one in unit.changes)
            continue
        # What is parked, too: what was judged with it may have gone through, and is not there to judge it by again.
        own = namesakes.own(unit)
        if unit.subject in failed_here:
            outcome.parked.extend(_park(one, HELD, held=True, now=now) for one in own.changes)
            continue
        try:
            given, silent = _given(own, namesakes, rules, catalogue)
            _fit(own, given, largest)
            outcome.drafts.extend(given)
            outcome.silent.extend(silent)
        except Failed as failed:
            failed_here.add(unit.subject)
            outcome.parked.extend(_park_failed(own, failed, now))
    return outcome


def _given(
    unit: Unit, namesakes: Namesakes, rules: Rules, catalogue: Catalogue
) -> tuple[list[Draft], list[Change]]:
    for change in unit.changes:
        if why := namesakes.clash(change):
            raise Failed(change, why)
    return translate_unit(unit, rules, catalogue) if unit.changes else ([], [])


def _park_failed(unit: Unit, failed: Failed, now: dt.datetime) -> Iterable[ParkedChange]:
    beside = f"in the same legacy transaction as {describe(failed.change)}"
    for one in unit.changes:
        own = one is failed.change
        yield _park(one, failed.reason if own else beside, held=not own, now=now)


def waiting_units(parked: Iterable[ParkedChange], translators: Translators) -> dict[str, int]:
    """For each subject with something parked, the number of the first such unit: what `translate` wants as `held`."""
    first: dict[str, int] = {}
    for unit in units((one.change for one in parked), _tables(translators)):
        first.setdefault(unit.subject, unit.number)
    return first


def _tables(translators: Translators) -> list[str]:
    return [table for aggregate in translators.aggregates for table in aggregate.tables]


def _park(change: Change, reason: str, *, held: bool, now: dt.datetime) -> ParkedChange:
    return ParkedChange(source=change.source, change=change, reason=reason, held=held, parked_at=now)


def _fit(unit: Unit, given: Sequence[Draft], largest: int | None) -> None:
    if largest is None:
        return
    for draft in given:
        # The attributes take a few hundred bytes, and each character of a subject up to six.
        if len(draft.data) + 6 * len(draft.envelope.subject) < largest - _ATTRIBUTES:
            continue
        if (found := size(draft)) > largest:
            at = next(one for one in unit.changes if one.position == draft.envelope.position)
            raise Failed(
                at,
                f"{describe(at)}: {draft.envelope.type} takes {found:,} bytes, and the log takes {largest:,}: "
                "raise the topic's max.message.bytes, or let the event say less",
            )


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
        outboxes: Mapping[str, Layout] | None = None,
        largest: Callable[[], int | None] = lambda: None,
    ) -> None:
        self.source, self.archive = source, archive
        self._outboxes = outboxes or {}
        self._translators, self._catalogue = translators, catalogue
        self._groups = [tuple(group) for group in groups]
        self._topic, self._partitions, self._clock = topic, partitions, clock
        self._held: tuple[int, dict[str, int]] | None = None
        self._standing: tuple[int, list[Cursor]] | None = None
        self._epoch, self._doubtful, self._unsettled = 0, True, True
        self._used: deque[list[int]] = deque()
        """Numbers of the changes that are archived and not marked yet, step by step."""
        self._largest = largest
        self._limit: tuple[int, int | None] | None = None

    def cursors(self) -> list[Cursor]:
        """How far the backfill of each group is; a group that was never begun holds its changes back.

        Nor was one begun whose capture is not the one beside which it was read: changes were missed in between.
        """
        known = {cursor.tables: cursor for cursor in self.archive.cursors(self.source.name)}
        return [self._cursor(group, known.get(group)) for group in self._groups]

    def _cursor(self, group: tuple[str, ...], known: Cursor | None) -> Cursor:
        installation = self.source.capture.installation(group) or ""
        if known is None or not installation or known.installation != installation:
            return Cursor(tables=group, installation=installation)
        return known

    def standing(self, epoch: int) -> list[Cursor]:
        """The same as far as the archive knows, read once in an epoch: only a leader moves them.

        Whether capture is the one beside which they were made, `pending` sees in the snapshot that it reads.
        """
        if self._standing is None or self._standing[0] != epoch:
            known = {one.tables: one for one in self.archive.cursors(self.source.name) if one.installation}
            self._standing = (epoch, [known.get(group) or Cursor(tables=group) for group in self._groups])
        return self._standing[1]

    def complete(self) -> bool:
        """Is all that was there before capture archived (or skipped)? Before, a view that has nothing looks fresh.

        What the archive says of it, a leader knows from its last step; capture is asked each time.
        """
        known = self.cursors() if self._standing is None else self._standing[1]
        installation = self.source.capture.installation
        return all(one.done for one in known) and all(
            one.installation == installation(one.tables) for one in known
        )

    def step(self, epoch: int, limit: int) -> Translated:
        """Translate what waits, up to about `limit` changes: archive first, then mark in the legacy source.

        The archive notes the numbers in the same transaction, so that after a crash in between they are marked first.
        """
        return self.take(self.read(epoch, limit), epoch)

    def read(self, epoch: int, limit: int) -> list[Change]:
        """The next changes, once those before are marked."""
        self.settle(epoch)
        return self.source.capture.pending(limit, self.standing(epoch))

    def take(self, changes: Sequence[Change], epoch: int) -> Translated:
        """Translate, archive and mark."""
        return self.store(changes, self.decide(changes, epoch), epoch) if changes else Translated()

    def decide(self, changes: Sequence[Change], epoch: int) -> Outcome:
        """What the changes come to. From here on, what is parked holds back what follows of its subject."""
        held = self.held(epoch)
        outcome = self._translate(facts(changes, self._outboxes), held, epoch)
        for subject, number in waiting_units(outcome.parked, self._translators).items():
            held[subject] = min(number, held.get(subject, number))
        return outcome

    def store(self, changes: Sequence[Change], outcome: Outcome, epoch: int) -> Translated:
        """Archive, then mark."""
        done = self.put(changes, outcome, epoch)
        self.mark(changes)
        return done

    def put(self, changes: Sequence[Change], outcome: Outcome, epoch: int) -> Translated:
        """Archive. The changes are to be marked then; until they are, the archive has their numbers."""
        numbers = [change.number for change in changes]
        records = self._append(
            outcome, epoch, used=[number for some in (*self._used, numbers) for number in some]
        )
        self._used.append(numbers)
        self._doubtful = self._unsettled = False
        return _counted(changes, records, outcome)

    def mark(self, changes: Sequence[Change]) -> None:
        """Mark in the legacy source what was archived. Another thread may archive what comes next meanwhile."""
        numbers = [change.number for change in changes]
        self.source.capture.mark(numbers)
        self._used.remove(numbers)

    def settle(self, epoch: int) -> None:
        """Mark in the legacy source what the last steps used up, if one of them may not have come to its end.

        Before anything else is read: what is archived would be offered as new.
        """
        if epoch != self._epoch:  # somebody else may have led in between
            self._epoch, self._doubtful, self._unsettled = epoch, True, True
        if self._unsettled or self._used:
            numbers = self.archive.unmarked(self.source.name)
            if numbers:
                self.source.capture.mark(numbers)
            self._unsettled = False
            self._used.clear()

    def keep(
        self,
        changes: Sequence[Change],
        epoch: int,
        *,
        used: Sequence[int] = (),
        cursors: Sequence[Cursor] = (),
    ) -> Translated:
        """Translate these changes and archive what comes of them, in one transaction."""
        outcome = self.decide(changes, epoch)
        return _counted(changes, self._append(outcome, epoch, used=used, cursors=cursors), outcome)

    def _translate(self, changes: Iterable[Change], held: Mapping[str, int], epoch: int) -> Outcome:
        if self._limit is None or self._limit[0] != epoch:
            self._limit = (epoch, self._largest())
        return translate(
            changes, self._translators, self._catalogue, held, self._clock(), largest=self._limit[1]
        )

    def held(self, epoch: int) -> dict[str, int]:
        """Subjects with something parked, and where. Read once in an epoch: only the leader parks and releases."""
        if self._held is None or self._held[0] != epoch:
            parked = self.archive.parked(self.source.name)
            self._held = (epoch, waiting_units(parked, self._translators))
        return self._held[1]

    def forget(self) -> None:
        """What was decided was not stored in the end: what is parked is read from the archive again."""
        self._held = None

    def replay(self, epoch: int, chosen: Callable[[ParkedChange], bool] = lambda _: True) -> Translated:
        """Translate parked changes again, in order. What is mended flows, and what it held back follows it.

        Subjects with a chosen change are replayed whole: one change alone would overtake those before it.
        """
        self._held = self._limit = None  # what was raised meanwhile counts
        self._doubtful = self._unsettled = True
        self.settle(epoch)
        parked = self.archive.parked(self.source.name)
        subjects = {one.change.subject for one in parked if chosen(one)}
        waiting = {one.change.position: one for one in parked if one.change.subject in subjects}
        changes = facts([one.change for one in waiting.values()], self._outboxes)
        outcome = self._translate(changes, {}, epoch)
        stays = [
            msgspec.structs.replace(one, parked_at=waiting[one.change.position].parked_at)
            for one in outcome.parked
        ]
        released = waiting.keys() - {one.change.position for one in stays}
        records = self._append(
            Outcome(drafts=outcome.drafts, parked=stays, silent=outcome.silent),
            epoch,
            unparked=[one for position, one in waiting.items() if position in released],
        )
        return _counted(changes, records, outcome)

    def _append(
        self,
        outcome: Outcome,
        epoch: int,
        *,
        used: Sequence[int] = (),
        unparked: Sequence[ParkedChange] = (),
        cursors: Sequence[Cursor] = (),
    ) -> list[Record]:
        doubtful, self._doubtful = self._doubtful, True
        self._unsettled = True  # until what this step uses up is marked
        if cursors:
            self._standing = None
        try:
            return self._store_all(outcome, epoch, doubtful, used, unparked, cursors)
        except BaseException:
            self._held = None  # a transaction that fails may have been committed all the same
            raise

    def _store_all(
        self,
        outcome: Outcome,
        epoch: int,
        doubtful: bool,
        used: Sequence[int],
        unparked: Sequence[ParkedChange],
        cursors: Sequence[Cursor],
    ) -> list[Record]:
        return self.archive.append(
            self.source.name,
            self._topic,
            outcome.drafts,
            partitions=self._partitions,
            epoch=epoch,
            # A backfill may find again what it had found, too.
            doubtful=doubtful or bool(cursors) or self._repeats(),
            used=used,
            parked=outcome.parked,
            unparked=unparked,
            cursors=cursors,
            unclassified=tally(
                self.source.name, outcome.silent, self._translators.declared_meaningless, self._clock()
            ),
        )

    def _repeats(self) -> bool:
        capture = self.source.capture
        return isinstance(capture, Repeating) and capture.repeats()


def _counted(changes: Sequence[Change], records: Sequence[Record], outcome: Outcome) -> Translated:
    held = sum(one.held for one in outcome.parked)
    return Translated(
        changes=len(changes),
        events=len(records),
        parked=len(outcome.parked),
        held=held,
        records=records,
    )
