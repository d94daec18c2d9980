"""Backfill: read what the legacy source holds already, chunk by chunk, and join it to the stream without gap or double.

A chunk is the rows of a range of subjects in one snapshot, together with the captured changes which that snapshot
saw: their effect is in the rows, so they are absorbed. Whatever commits later is streamed. The changes of subjects
whose turn has not come wait in the capture table.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from toolkit.core.errors import UsageError
from toolkit.loops.translate import Translation
from toolkit.ports import CapturedTable, Cursor


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far the backfill of one group of tables is; `remaining` subjects is an estimate of the engine's."""

    group: str
    rows: int
    events: int
    parked: int
    remaining: int
    done: bool


class Backfill:
    """Backfills one source. Only its leader may: pass the epoch of the lease.

    `pace` is the share of time that the legacy source is read: 0.5 rests after each chunk as long as the chunk took.
    """

    def __init__(
        self,
        translation: Translation,
        groups: Sequence[Sequence[CapturedTable]],
        *,
        chunk: int = 1000,
        pace: float = 1.0,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._translation, self._groups = translation, [tuple(group) for group in groups]
        self._chunk, self._pace = chunk, pace
        self._sleep, self._monotonic = sleep, monotonic
        self._counted: dict[tuple[str, ...], int] = {}
        if not 0 < pace <= 1:
            raise UsageError(f"pace = {pace}: write a share of time above 0 and up to 1")

    def estimate(self) -> int:
        """Roughly how many subjects are still to be read. Counted once, then kept up: counting is a read of its own."""
        for tables, cursor in self._open():
            self._remaining(tables, cursor)
        return self.left

    @property
    def left(self) -> int:
        """The same, without a look: what is left of what was counted."""
        return sum(self._counted.values())

    def step(self, epoch: int) -> Progress | None:
        """Do the next chunk; None when all is done. After a kill, the next step first ends the one before."""
        self._translation.settle(epoch)
        waiting = self._open()
        if not waiting:
            return None
        tables, cursor = waiting[0]
        remaining = self._remaining(tables, cursor)
        started = self._monotonic()
        chunk = self._translation.source.capture.chunk(tables, cursor, self._chunk)
        read = self._monotonic() - started
        done = self._translation.keep(chunk.changes, epoch, used=chunk.absorbed, cursors=[chunk.cursor])
        self._translation.settle(epoch)
        subjects = len({change.subject for change in chunk.changes})
        remaining = 0 if chunk.cursor.done else max(remaining - subjects, 0)
        self._counted[chunk.cursor.tables] = remaining
        self._sleep(read * (1 / self._pace - 1))
        return Progress(
            group=tables[0].table,
            rows=done.changes,
            events=done.events,
            parked=done.parked,
            remaining=remaining,
            done=chunk.cursor.done,
        )

    def _remaining(self, tables: Sequence[CapturedTable], cursor: Cursor) -> int:
        if cursor.tables not in self._counted:
            self._counted[cursor.tables] = self._translation.source.capture.count(tables, cursor)
        return self._counted[cursor.tables]

    def skip(self, epoch: int) -> None:
        """Declare every group done without reading it: events begin with the changes captured from now on."""
        self._translation.settle(epoch)
        cursors = [msgspec.structs.replace(cursor, done=True) for _, cursor in self._open()]
        self._translation.keep([], epoch, cursors=cursors)

    def _open(self) -> list[tuple[tuple[CapturedTable, ...], Cursor]]:
        cursors = self._translation.cursors()
        return [one for one in zip(self._groups, cursors, strict=True) if not one[1].done]
