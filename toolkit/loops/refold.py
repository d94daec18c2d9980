"""What a version's history gives: its events folded in memory, in one order or another, as far as one wants.

A projector folds into a store: rows are loaded, changed and kept, batch by batch. So does this, into memory.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from toolkit.core.events import Catalogue
from toolkit.core.meanings import unheard
from toolkit.core.projections import Definition, row_json
from toolkit.core.records import Passed, Record
from toolkit.loops import folding
from toolkit.loops.folding import Held, Place, Step
from toolkit.loops.packed import PackedRows
from toolkit.loops.siblings import Siblings
from toolkit.ports import Archive, Checkpoint, Clock, ParkedEvent

WINDOW = 5000
"""Events of a partition whose subjects are shuffled: far more than a batch, or what is rare would stay in its order."""
_ALL = 2**62

Due = tuple[str, Record]


def sequences(checkpoints: Iterable[Checkpoint]) -> dict[Place, int]:
    """The last event of each partition that is in the rows."""
    return {place: one.sequence for place, one in folding.places(checkpoints).items()}


def unnoted(archive: Archive, positions: Mapping[Place, int]) -> list[str]:
    """The partitions of which a projector had events from the log before the relay noted them: history ends earlier."""
    told = []
    for topic in sorted({topic for topic, _ in positions}):
        wanted = {number: one for (name, number), one in positions.items() if name == topic and one}
        there = archive.offsets(topic, wanted)
        told += [
            f"{topic}[{number}]: the view holds event {sequence}, whose place in the log the relay has not noted yet"
            for number, sequence in wanted.items()
            if number not in there
        ]
    return told


class Past:
    """The events between two positions of a table, without those that it lacks, in one order or another.

    `passed` collects the ids of those that were left out. Events of the types that are `unheard` are not even read.
    """

    def __init__(
        self,
        archive: Archive,
        end: Mapping[Place, int],
        left_out: frozenset[str],
        begin: Mapping[Place, int] | None = None,
        *,
        unheard: Collection[str] = (),
    ) -> None:
        self._archive, self._begin, self._end, self._left_out = archive, begin or {}, end, left_out
        self._unheard = unheard
        self.passed: set[str] = set()

    def in_order(self, size: int) -> Iterator[list[Due]]:
        """As one worker gets it that has all partitions: a batch holds some of each."""
        share = max(1, size // len(self._end))
        turns = [self._batches(place, share) for place in self._end]
        while turns:
            mixed: list[Due] = []
            for turn in list(turns):
                batch = next(turn, None)
                if batch is None:
                    turns.remove(turn)
                else:
                    mixed += batch
            yield mixed

    def interleaved(self, size: int) -> Iterator[list[Due]]:
        """As workers get it that have one partition each, the last one first; within a window by subject, in no order
        that means anything.
        """
        turns = [self._shuffled(place, size) for place in reversed(list(self._end))]
        while turns:
            for turn in list(turns):
                batch = next(turn, None)
                if batch is None:
                    turns.remove(turn)
                else:
                    yield batch

    def _shuffled(self, place: Place, size: int) -> Iterator[list[Due]]:
        for window in self._windows(place):
            window.sort(key=lambda due: zlib.crc32(due[1].envelope.subject[::-1].encode()))
            yield from (window[at : at + size] for at in range(0, len(window), size))

    def _batches(self, place: Place, size: int) -> Iterator[list[Due]]:
        for window in self._windows(place):
            yield from (window[at : at + size] for at in range(0, len(window), size))

    def _windows(self, place: Place) -> Iterator[list[Due]]:
        """The events of a partition, read many at a time whatever a batch holds: each page is three queries."""
        (topic, partition), end = place, self._end[place]
        others = {number: _ALL for name, number in self._end if name == topic}
        at = self._begin.get(place, 0)
        while at < end:
            page = self._archive.scan(topic, {**others, partition: at}, min(WINDOW, end - at), self._unheard)
            contents = [one.content for one in page if isinstance(one.content, Record | Passed)]
            if not contents:
                return
            at = contents[-1].sequence
            records = [one for one in contents if isinstance(one, Record) and one.sequence <= end]
            due = [(topic, one) for one in records if one.envelope.id not in self._left_out]
            if len(due) < len(records):
                self.passed.update({one.envelope.id for one in records} & self._left_out)
            yield due


class Refold:
    """The rows as far as events were folded, and what could not be."""

    def __init__(self, definition: Definition, catalogue: Catalogue, clock: Clock) -> None:
        self._definition, self._catalogue, self._clock = definition, catalogue, clock
        self.unheard = unheard(definition, catalogue)
        self.rows = PackedRows([column.name for column in definition.columns])
        self.parked: list[ParkedEvent] = []
        self.events = 0
        self._held, self._siblings = Held(), Siblings(definition)

    def advance(
        self, batches: Iterable[list[Due]], watch: AbstractContextManager[object] | None = None
    ) -> Iterator[list[Any]]:
        """Fold batch by batch; gives the keys that each changed.

        Only what decodes and folds is watched: no user's code runs in between, and being watched takes time with every call.
        """
        watch = watch or nullcontext()
        definition, siblings = self._definition, self._siblings
        for batch in batches:
            with watch:
                steps = folding.read(definition, self._catalogue, batch)
            keys = _row_keys(steps, siblings) if definition.parent else folding.keys(steps)
            loaded = {key: self.rows[key] for key in keys if key in self.rows}
            now = self._clock()
            with watch:
                folded = folding.fold(definition, steps, loaded, self._held, now, siblings.under)
            if definition.parent:
                siblings.add(folded.changed)
            self.rows.update(folded.changed)
            self._held |= Held.by(folded.parked)
            self.parked += folded.parked
            self.events += len(batch)
            yield list(folded.changed)

    def through(
        self, batches: Iterable[list[Due]], watch: AbstractContextManager[object] | None = None
    ) -> Refold:
        """The same with all of it folded."""
        for _ in self.advance(batches, watch):
            pass
        return self

    def digest(self) -> str:
        """As the read store takes it: the rows' canonical JSON in key order."""
        found = hashlib.sha256()
        for key in sorted(self.rows):  # type: ignore[type-var]
            found.update(row_json(self.rows[key]) + b"\n")
        return found.hexdigest()


def _row_keys(steps: list[Step], siblings: Siblings) -> list[object]:
    """The keys of the rows that the steps are about, where one may be about all rows of a parent."""
    wide = [key for parent in folding.wide(steps) for key in siblings.under(parent)]
    return list(dict.fromkeys([*folding.row_keys(steps), *wide]))
