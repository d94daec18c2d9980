"""Rebuild: a version beside the serving one, from the archive, caught up, compared, and only then switched to.

The archive gives the events by sequence; the log goes on behind the last one of them. Checkpoints carry both, so
a rebuild that was stopped goes on where it was, and a projector takes over where the rebuild ends.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import msgspec

from toolkit import commands
from toolkit.core.errors import Fenced, OffsetLost, Refused
from toolkit.core.events import Catalogue
from toolkit.core.meanings import unheard
from toolkit.core.projections import Definition
from toolkit.core.records import Delivery, Passed, Record
from toolkit.loops import folding
from toolkit.loops.folding import Place
from toolkit.loops.history import ANEW, ArchiveHistory, History, LogHistory, Origin, beginnings
from toolkit.loops.keeping import Keeper, Pace, Work
from toolkit.loops.project import Projector
from toolkit.loops.settling import Settled
from toolkit.ports import Archive, Batch, Checkpoint, Clock, LegacySource, Log, ReadStore

BATCH = 5_000
COMMIT_EVERY = dt.timedelta(seconds=10)
"""How much of a rebuild is lost at most when it is killed."""
PATIENCE = dt.timedelta(seconds=60)
"""How long a rebuild waits for a watermark before it says that none comes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a rebuild is. `rate` is events per second since it began, `left` what is to be expected at that rate."""

    phase: str
    """archive | log: where the events come from; log also while it follows what is new"""
    done: int
    total: int
    rate: float
    left: dt.timedelta | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """What a rebuild came to. Not `complete`: it was stopped, or no watermark came; run it again to go on."""

    projection: str
    version: int
    events: int
    parked: int
    as_of: dt.datetime | None
    took: dt.timedelta
    complete: bool
    detail: str = ""
    skipped: int = 0
    """events that the ledger tells to pass by"""


Report = Callable[[Progress], None]
LOOK_EVERY = 0.1
_STOPPED = "stopped; run it again to go on"


class Rebuild:
    """Builds one version. What it cannot read stops it; what it cannot apply is parked, counted and shown."""

    def __init__(
        self,
        definition: Definition,
        catalogue: Catalogue,
        store: ReadStore,
        archive: Archive,
        log: Log,
        topics: Mapping[str, int],
        clock: Clock,
        *,
        batch: int = BATCH,
        patience: dt.timedelta = PATIENCE,
        origin: Origin = Origin.ARCHIVE,
        pace: Pace | None = None,
        sources: Mapping[str, LegacySource] | None = None,
    ) -> None:
        self._definition, self._catalogue = definition, catalogue
        self._store, self._archive, self._log = store, archive, log
        self._topics, self._clock = topics, clock
        self._batch, self._patience, self._pace = batch, patience, pace or Pace()
        self._keeper = Keeper(
            definition, catalogue, store, clock, self._pace, look=self._readable, too_much=self._too_much
        )
        self._began = clock()
        self._first = self._total = 0
        self._report: Report = lambda _: None
        self._origin, self._sources = origin, sources or {}
        self._histories: dict[Origin, History] = {
            Origin.ARCHIVE: ArchiveHistory(archive, batch, unheard(definition, catalogue)),
            Origin.LOG: LogHistory(log, archive, batch),
        }

    def run(self, stop: threading.Event | None = None, report: Report = lambda _: None) -> Rebuilt:
        """Build, or go on building. Raises Refused when the version serves or when an event cannot be read."""
        stop, self._report, self._began = stop or threading.Event(), report, self._clock()
        promised = {topic: self._archive.last_watermark(topic) for topic in self._topics}
        settled = Settled(self._sources)
        self._possible()
        self._take()
        # Again, now that the version is there: whoever prunes looks at the versions after it has cut.
        self._possible()
        self._total = sum(sum(self._archive.last_sequences(topic).values()) for topic in self._topics)
        try:
            if not self._from_history(stop):
                return self._rebuilt(_STOPPED)
        except (Refused, OffsetLost) as error:
            self._keeper.tell("failed", str(error))
            raise
        finally:
            self._histories[self._origin].close()
        detail = self._settle(settled, stop)
        if not detail:
            promised |= settled.instants()
            detail = self._from_log(promised, stop)
        return self._rebuilt(detail)

    def _settle(self, settled: Settled, stop: threading.Event) -> str:
        """Wait for the transactions that are older than the rebuild. Returns why not, or nothing."""
        end = self._clock() + self._patience
        while waiting := settled.waiting():
            if stop.wait(LOOK_EVERY):
                return _STOPPED
            if self._clock() > end:
                return (
                    f"a transaction that was open when it began is still open in the source of {', '.join(waiting)}, "
                    "and may add events: run it again once that has ended"
                )
        return ""

    def _possible(self) -> None:
        """Raise Refused unless all that the version lacks is still there. Nothing was changed yet."""
        name, version = self._definition.name, self._definition.version
        known = folding.places(self._store.checkpoints(name, version)) if self._known() else {}
        at = {**beginnings(self._topics), **known}
        reasons = self._histories[self._origin].lacks(at)
        if not reasons:
            return
        other = Origin.LOG if self._origin is Origin.ARCHIVE else Origin.ARCHIVE
        again = f"the {other} still has all of it: `{commands.rebuild_from(name, version, other)}`"
        instead = ANEW if self._histories[other].lacks(at) else again
        raise Refused(
            f"{self._definition.identity} cannot be rebuilt from the {self._origin}", [*reasons, instead]
        )

    def _known(self) -> bool:
        name, version = self._definition.name, self._definition.version
        return any(one.version == version for one in self._store.versions(name))

    def _take(self) -> None:
        state = self._store.create(self._definition, self._topics, self._clock(), indexed=False)
        if state.serving and state.built_at is not None:
            raise Refused(
                f"{self._definition.identity} serves reads: raise version= in the code and rebuild that one beside it"
            )
        self._keeper.take_over()
        self._keeper.tell("building", "")
        self._first = _done(self._keeper.at.checkpoints.values())

    # --- from the history

    def _from_history(self, stop: threading.Event) -> bool:
        """Apply all that there is. False when it was stopped before.

        One page is read, and one transaction is written, while what lies between them is folded.
        """
        if moved := self._histories[self._origin].begin(self._keeper.at.checkpoints):
            epoch, now = self._keeper.epoch or 0, self._clock()
            self._store.commit(self._definition, Batch(checkpoints=moved), epoch=epoch, now=now)
            self._keeper.take_over()
        with ThreadPoolExecutor(2, f"rebuild {self._definition.identity}") as others:
            writing = _Writing(self._keeper, others, self._clock)
            try:
                return all(self._topic(topic, others, writing, stop) for topic in self._topics)
            finally:
                writing.end()

    def _topic(
        self, topic: str, others: ThreadPoolExecutor, writing: _Writing, stop: threading.Event
    ) -> bool:
        read, keeper = self._histories[self._origin].page, self._keeper
        at: Mapping[Place, Checkpoint] = keeper.ahead.checkpoints
        page = others.submit(read, topic, at)
        while deliveries := page.result():
            if stop.is_set():
                return False
            at = _behind_all(at, deliveries)
            page = others.submit(read, topic, at)
            before = _done(keeper.ahead.checkpoints.values())
            writing.add(deliveries)
            if self._origin is Origin.ARCHIVE and _done(keeper.ahead.checkpoints.values()) == before:
                break  # a hole in what is published: the log will give the missing events, or say that it waits
            self._say(self._origin, keeper.ahead.checkpoints)
        return True

    def _readable(self, steps: list[folding.Step]) -> None:
        """Whatever cannot be read stops the rebuild, unless somebody said that it is passed by."""
        skipped = self._keeper.ahead.held.skipped
        for step in steps:
            if step.fault and step.record.envelope.id not in skipped:
                raise self._stop_at(step.topic, step.record, step.fault)

    def _too_much(self, parked: int) -> str:
        limit = f"{self._pace.park_limit} (read_store.park_limit)"
        return f"{self._definition.identity}: {parked} events cannot be applied, more than {limit}: mend the rule"

    def _stop_at(self, topic: str, record: Record, reason: str) -> Refused:
        where = f"{topic}[{record.partition}] event {record.sequence}, {record.envelope.type} of {record.envelope.subject}"
        again = commands.rebuild(self._definition.name, self._definition.version)
        return Refused(
            f"{self._definition.identity} cannot be rebuilt: {where} ({record.envelope.id}) cannot be read",
            [reason, f"mend the code, then run `{again}` again: it goes on from there"],
        )

    # --- from the log

    def _from_log(self, promised: Mapping[str, dt.datetime | None], stop: threading.Event) -> str:
        """Follow the log until every topic has a watermark newer than the rebuild. Returns why not, or nothing."""
        projector = Projector(
            self._definition, self._catalogue, self._store, self._log, self._topics, self._clock, self._pace
        )
        try:
            projector.start()
            end = self._clock() + self._patience
            while behind := _behind(projector.checkpoints, promised):
                if stop.is_set():
                    return _STOPPED
                if projector.advance().deliveries:
                    self._say("log", folding.places(projector.checkpoints))
                elif self._clock() > end:
                    return (
                        f"no newer watermark of {', '.join(behind)} has come in {self._patience.total_seconds():g} s: "
                        f"does `{commands.RELAY}` run?"
                    )
        except Fenced:
            # A projector that runs beside us has taken the version over, now that it can serve: it follows the log.
            return self._watch(promised, stop)
        finally:
            projector.close()
        return ""

    def _watch(self, promised: Mapping[str, dt.datetime | None], stop: threading.Event) -> str:
        """Look on until the version is as far as it has to be. Returns why not, or nothing."""
        name, version = self._definition.name, self._definition.version
        end = self._clock() + self._patience
        while behind := _behind(self._store.checkpoints(name, version), promised):
            if stop.wait(LOOK_EVERY):
                return _STOPPED
            if self._clock() > end:
                return f"the projector that took it over has seen no newer watermark of {', '.join(behind)}"
        return ""

    # --- telling

    def _say(self, phase: str, at: Mapping[Place, Checkpoint]) -> None:
        done, seconds = _done(at.values()), (self._clock() - self._began).total_seconds()
        total = max(self._total, done)
        rate = (done - self._first) / seconds if seconds > 0 else 0.0
        left = dt.timedelta(seconds=(total - done) / rate) if rate > 0 else None
        self._report(Progress(phase=phase, done=done, total=total, rate=rate, left=left))

    def _rebuilt(self, detail: str) -> Rebuilt:
        name, version = self._definition.name, self._definition.version
        checkpoints = self._store.checkpoints(name, version)
        instants = [one.as_of for one in checkpoints]
        known = [instant for instant in instants if instant is not None]
        return Rebuilt(
            projection=name,
            version=version,
            events=_done(checkpoints) - self._first,
            parked=len(self._store.parked(name, version)),
            as_of=min(known) if known and len(known) == len(instants) else None,
            took=self._clock() - self._began,
            complete=not detail,
            detail=detail,
            skipped=len(self._store.skipped(name, version)),
        )


class _Writing:
    """Writes what pages come to: a row that many events change, once, as long as the rows fit into memory."""

    def __init__(self, keeper: Keeper, others: ThreadPoolExecutor, clock: Clock) -> None:
        self._keeper, self._others, self._clock = keeper, others, clock
        self._work: Work | None = None
        self._begun = clock()
        self._under_way: tuple[Work, Future[None]] | None = None

    def add(self, deliveries: list[Delivery]) -> None:
        """Another page; raises what its folding, or an earlier transaction, came to."""
        self._work = self._keeper.fold(deliveries, self._work)
        if len(self._work.changed) >= self._keeper.room or self._clock() - self._begun > COMMIT_EVERY:
            self._write()

    def _write(self) -> None:
        work, self._work, self._begun = self._work, None, self._clock()
        self._settle(work)
        if work:
            self._under_way = work, self._others.submit(self._keeper.write, work)

    def _settle(self, after: Work | None = None) -> None:
        if self._under_way is not None:
            (work, future), self._under_way = self._under_way, None
            future.result()
            self._keeper.written(work, after)

    def end(self) -> None:
        """Write what is left, and wait for it."""
        self._write()
        self._settle()


def _behind_all(at: Mapping[Place, Checkpoint], deliveries: list[Delivery]) -> dict[Place, Checkpoint]:
    """Where the next page begins when this one is through, whatever of it is due."""
    last = {(one.at.topic, one.at.partition): one for one in deliveries}
    moved = dict(at)
    for place, one in last.items():
        content = one.content
        sequence = content.sequence if isinstance(content, Record | Passed) else at[place].sequence
        moved[place] = msgspec.structs.replace(
            at[place], next_offset=max(at[place].next_offset, one.at.offset + 1), sequence=sequence
        )
    return moved


def _done(checkpoints: Iterable[Checkpoint]) -> int:
    return sum(one.sequence for one in checkpoints)


def _behind(checkpoints: list[Checkpoint], promised: Mapping[str, dt.datetime | None]) -> list[str]:
    """Topics whose view does not yet go beyond the last watermark from before the rebuild.

    Instants of one topic are compared with each other only: both come from its source's clock.
    """
    behind = []
    for topic, before in promised.items():
        instants = [one.as_of for one in checkpoints if one.topic == topic]
        if any(instant is None or (before is not None and instant <= before) for instant in instants):
            behind.append(topic)
    return behind


# --- old and new


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One value that two versions do not share."""

    key: object
    column: str
    old: object
    new: object


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionComparison:
    """Two versions, row by row. `examples` are the first few differences of each column, and the first missing rows."""

    old: int
    new: int
    same: int = 0
    different: int = 0
    only_old: int = 0
    only_new: int = 0
    by_column: Mapping[str, int]
    examples: tuple[Difference, ...] = ()
    missing: tuple[object, ...] = ()
    """keys of the first rows that only the old version has"""
    extra: tuple[object, ...] = ()
    """keys of the first rows that only the new version has"""
    columns_gone: tuple[str, ...] = ()
    columns_new: tuple[str, ...] = ()


def compare_versions(
    store: ReadStore, old: Definition, new: Definition, *, examples: int = 5, page: int = BATCH
) -> VersionComparison:
    """Walk through both versions in key order. Differences are what the change is for: people judge them, not we."""
    shared = [column.name for column in old.columns if column.name in {one.name for one in new.columns}]
    counts: dict[str, int] = {}
    found: list[Difference] = []
    missing: list[object] = []
    extra: list[object] = []
    tally = {"same": 0, "different": 0, "only_old": 0, "only_new": 0}
    for key, before, after in _merged(store, old, new, page):
        if before is None or after is None:
            tally["only_new" if before is None else "only_old"] += 1
            keys = extra if before is None else missing
            if len(keys) < examples:
                keys.append(key)
            continue
        differing = [name for name in shared if before[name] != after[name]]
        tally["different" if differing else "same"] += 1
        for name in differing:
            counts[name] = counts.get(name, 0) + 1
            if counts[name] <= examples:
                found.append(Difference(key=key, column=name, old=before[name], new=after[name]))
    return VersionComparison(
        old=old.version,
        new=new.version,
        **tally,
        by_column=counts,
        examples=tuple(found),
        missing=tuple(missing),
        extra=tuple(extra),
        columns_gone=tuple(column.name for column in old.columns if column.name not in shared),
        columns_new=tuple(column.name for column in new.columns if column.name not in shared),
    )


Row = dict[str, object]


def _merged(
    store: ReadStore, old: Definition, new: Definition, page: int
) -> Iterator[tuple[object, Row | None, Row | None]]:
    """Both versions' rows side by side, by key. Keys sort in Python as they do in the store."""
    left, right = _all(store, old, page), _all(store, new, page)
    before, after = next(left, None), next(right, None)
    while before is not None or after is not None:
        first: list[object] = [
            one.key_in(row) for row, one in ((before, old), (after, new)) if row is not None
        ]
        key = min(first)  # type: ignore[type-var]
        mine = before if before is not None and old.key_in(before) == key else None
        theirs = after if after is not None and new.key_in(after) == key else None
        yield key, mine, theirs
        before = next(left, None) if mine is not None else before
        after = next(right, None) if theirs is not None else after


def _all(store: ReadStore, definition: Definition, page: int) -> Iterator[Row]:
    after: object | None = None
    while rows := store.rows(definition, after, page):
        yield from rows
        after = definition.key_in(rows[-1])
