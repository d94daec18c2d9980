"""A legacy source small enough to see through, and the ways in which a relay's surroundings fail."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from tests.support.state import SECOND, SOURCE, START, draft
from toolkit.core.changes import Change, Op
from toolkit.core.records import Draft, Record, Run, Watermark
from toolkit.ports import Archive, Cursor, Horizon, Publisher


class Killed(BaseException):
    """The process ends here: no handler of ours sees it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """A change as the legacy source committed it."""

    source: str
    number: int
    subject: str
    at: dt.datetime

    @property
    def draft(self) -> Draft:
        return draft(self.number, self.subject, time=self.at, source=self.source)


@dataclass
class Ledger:
    """A legacy source: what it committed, what is marked, and its clock. It is its own capture."""

    name: str = SOURCE
    now: dt.datetime = START
    committed: list[Committed] = field(default_factory=list)
    marked: set[int] = field(default_factory=set)
    waiting: set[str] = field(default_factory=set)
    """subjects that the backfill has not established"""

    @property
    def capture(self) -> Any:
        return self

    def commit(self, *subjects: str, numbers: Sequence[int] = ()) -> None:
        """Changes become visible at the next instant; numbers may have been drawn long before."""
        self.now += SECOND
        for at, subject in enumerate(subjects):
            number = numbers[at] if numbers else max((one.number for one in self.committed), default=0) + 1
            self.committed.append(Committed(source=self.name, number=number, subject=subject, at=self.now))

    # --- what the relay asks for

    def clock(self) -> dt.datetime:
        return self.now

    def horizon(self) -> Horizon:
        return Horizon(instant=self.now, token=str(len(self.committed)))

    def behind(self, horizon: Horizon) -> int:
        return sum(one.number not in self.marked for one in self.committed[: int(horizon.token)])

    def mark(self, numbers: Iterable[int]) -> None:
        self.marked.update(numbers)

    def pending(self, limit: int, cursors: Sequence[Cursor] = ()) -> list[Change]:
        visible = [
            one
            for one in sorted(self.committed, key=lambda one: one.number)
            if one.number not in self.marked and one.subject not in self.waiting
        ]
        return [
            Change(
                source=self.name,
                table="POLMAST",
                op=Op.INSERT,
                subject=one.subject,
                position=f"POLMAST:{one.number}",
                captured_at=one.at,
                after={},
                number=one.number,
            )
            for one in visible[:limit]
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What a translation step says of itself."""

    changes: int
    events: int
    records: Sequence[Record]
    parked: int = 0


def translating(ledger: Any, archive: Archive, topic: str, partitions: int) -> Callable[[int, int], Step]:
    """One event a change; archived first, marked afterwards, as the real step does it."""

    def step(epoch: int, limit: int) -> Step:
        changes = ledger.pending(limit)
        given = [draft(one.number, one.subject, time=one.captured_at, source=one.source) for one in changes]
        new = archive.append(ledger.name, topic, given, partitions=partitions, epoch=epoch)
        ledger.mark([one.number for one in changes])
        return Step(changes=len(changes), events=len(new), records=new)

    return step


class Fuse:
    """Counts the calls that cross it, and blows before or after the one it was made for."""

    def __init__(self, blow_at: int | None = None) -> None:
        self.blow_at = blow_at
        self.crossings = 0
        self.where = ""

    def cross(self, where: str) -> None:
        self.crossings += 1
        if self.crossings == self.blow_at:
            self.where = where
            raise Killed(where)

    def guard(self, port: Any, *names: str) -> Any:
        return _Fused(port, names, self)


class _Fused:
    def __init__(self, port: Any, names: Sequence[str], fuse: Fuse) -> None:
        self._port, self._names, self._fuse = port, names, fuse

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        if name == "capture":
            return self
        if name not in self._names:
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            self._fuse.cross(f"before {name}")
            answer = found(*args, **kwargs)
            self._fuse.cross(f"after {name}")
            return answer

        return call


@dataclass
class Witness:
    """A publisher that judges each watermark by what the legacy source had committed and the log acknowledged."""

    inner: Publisher
    ledger: Ledger
    acknowledged: dict[str, Record] = field(default_factory=dict)
    promised: list[dt.datetime] = field(default_factory=list)
    partitions: set[int] = field(default_factory=set)

    def publish(self, records: Sequence[Record]) -> list[Run]:
        runs = self.inner.publish(records)
        ends = {run.partition: run.last for run in runs}
        self.acknowledged |= {
            record.envelope.id: record
            for record in records
            if record.sequence <= ends.get(record.partition, 0)
        }
        return runs

    def watermark(self, marks: Mapping[int, Watermark]) -> None:
        (as_of,) = {mark.as_of for mark in marks.values()}
        for one in self.ledger.committed:
            if one.at <= as_of:
                record = self.acknowledged.get(one.draft.envelope.id)
                assert record is not None, f"{as_of} is promised, but change {one.number} is not in the log"
                assert record.sequence <= marks[record.partition].sequence
        last = [record.sequence for record in self.acknowledged.values()]
        assert sum(mark.sequence for mark in marks.values()) <= len(last)
        self.inner.watermark(marks)
        self.promised.append(as_of)
        self.partitions = set(marks)

    def close(self) -> None:
        self.inner.close()


@dataclass
class Stutter:
    """A publisher whose log stops acknowledging: `script` gives, call by call, how many of each partition it takes.

    With `written`, the records behind are in the log all the same: only their acknowledgement is lost.
    """

    inner: Publisher
    script: list[int]
    written: bool = False

    def publish(self, records: Sequence[Record]) -> list[Run]:
        if not self.script:
            return self.inner.publish(records)
        allowed = self.script.pop(0)
        taken: dict[int, int] = {}
        prefix = []
        for record in records:
            taken[record.partition] = taken.get(record.partition, 0) + 1
            if taken[record.partition] <= allowed:
                prefix.append(record)
        if not self.written:
            return self.inner.publish(prefix)
        cut = [
            msgspec.structs.replace(run, count=min(run.count, allowed)) for run in self.inner.publish(records)
        ]
        return [run for run in cut if run.count]

    def watermark(self, marks: Mapping[int, Watermark]) -> None:
        self.inner.watermark(marks)

    def close(self) -> None:
        self.inner.close()
