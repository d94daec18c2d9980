"""Prune: let the archive (and a log that is ours) begin later, and never take what somebody still needs.

First a plan, which changes nothing. Then the cut, which every reader sees at once; then a second look at who needs
what, which takes the cut back where a version was begun meanwhile; only then anything is removed.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from toolkit import commands
from toolkit.core.errors import Refused
from toolkit.loops import folding
from toolkit.loops.folding import Place
from toolkit.loops.history import beginnings
from toolkit.ports import Clock, Kept, Leases, Log, PrunableLog, ReadStore, Retention

LEASE = "prune"
_TTL = dt.timedelta(seconds=30)
RETIRED = "retired"


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody needs what comes after a sequence, and after an offset of the log (None: nothing there)."""

    who: str
    sequence: int
    offset: int | None


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """What would go of one partition: everything from `first` until before `until`.

    `held` says who needs what is older than the limit, and would otherwise go, too.
    """

    topic: str
    partition: int
    first: int
    until: int
    held: str = ""

    @property
    def count(self) -> int:
        """How many events or records."""
        return max(0, self.until - self.first)


class Loss(msgspec.Struct, frozen=True, kw_only=True):
    """A projection that cannot be rebuilt or verified from the archive afterwards, and what hangs on that."""

    projection: str
    why: tuple[str, ...]


class PrunePlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a prune would do: `events` by sequence, `records` of the log by offset."""

    before: dt.date | None = None
    """events that were archived before this day would go"""
    events: tuple[Part, ...] = ()
    log_before: dt.datetime | None = None
    records: tuple[Part, ...] = ()
    losses: tuple[Loss, ...] = ()

    def unnamed(self, forgone: Iterable[str]) -> list[Loss]:
        """Losses that nobody agreed to."""
        named = set(forgone)
        return [one for one in self.losses if one.projection not in named]


class Pruned(msgspec.Struct, frozen=True, kw_only=True):
    """What a prune did. Not `complete`: it was stopped, and goes on when it is run again."""

    events: int = 0
    dropped: tuple[str, ...] = ()
    """time partitions"""
    busy: tuple[str, ...] = ()
    records: int = 0
    spared: tuple[str, ...] = ()
    """who began to need something while it was cut, so that the cut was taken back"""
    complete: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How old something has to be to go; None: it is kept for ever."""

    archive: dt.timedelta | None = None
    log: dt.timedelta | None = None


def needs(store: ReadStore, topics: Mapping[str, int]) -> dict[Place, list[Need]]:
    """What every version that is not retired has still to read, or may have to read again."""
    found: dict[Place, list[Need]] = {place: [] for place in beginnings(topics)}
    for version in store.versions():
        if version.state == RETIRED:
            continue
        who = f"{version.projection} v{version.version}"
        at = beginnings(topics) | folding.places(store.checkpoints(version.projection, version.version))
        for place, one in at.items():
            stands = f"{who} ({version.state}) stands at event {one.sequence}"
            need = Need(who=stands, sequence=one.sequence, offset=one.next_offset)
            found.setdefault(place, []).append(need)
        for parked in store.parked(version.projection, version.version):
            sequence = parked.record.sequence
            need = Need(who=f"{who} has parked event {sequence}", sequence=sequence - 1, offset=None)
            found.setdefault((parked.topic, parked.record.partition), []).append(need)
    return found


class Prune:
    """Prunes the archive of a project, and its log where that is ours. One process at a time.

    `tally` counts what there is of a topic's events before some of them go.
    """

    def __init__(
        self,
        retention: Retention,
        store: ReadStore,
        log: Log,
        leases: Leases,
        topics: Mapping[str, int],
        clock: Clock,
        *,
        owner: str,
        losses: Callable[[], Sequence[Loss]] = tuple,
        tally: Callable[[str], object] = lambda _: None,
    ) -> None:
        self._retention, self._store, self._log = retention, store, log
        self._leases, self._topics, self._clock, self._owner = leases, topics, clock, owner
        self._losses, self._tally = losses, tally
        self._epoch = 0

    # --- deciding

    def plan(self, limits: Limits) -> PrunePlan:
        """What would go, what is held, and what could not be rebuilt any more. Changes nothing."""
        wanted = needs(self._store, self._topics)
        kept = [one for topic in self._topics for one in self._retention.kept(topic)]
        plan = PrunePlan()
        if limits.archive is not None:
            day = self._retention.whole(self._clock().date() - limits.archive)
            events = tuple(self._event_parts(kept, day, wanted))
            lost = any(one.count for one in events) and not any(one.pruned for one in kept)
            losses = tuple(self._losses()) if lost else ()
            plan = msgspec.structs.replace(plan, before=day, events=events, losses=losses)
        if limits.log is not None and isinstance(self._log, PrunableLog):
            instant = self._clock() - limits.log
            records = tuple(self._record_parts(self._log, self._log, instant, wanted))
            plan = msgspec.structs.replace(plan, log_before=instant, records=records)
        return plan

    def _event_parts(
        self, kept: Sequence[Kept], day: dt.date, wanted: Mapping[Place, list[Need]]
    ) -> Iterator[Part]:
        old = {topic: self._retention.before(topic, day) for topic in self._topics}
        for one in kept:
            end = max(old[one.topic].get(one.partition, 0), one.pruned)
            lowest = min(wanted.get((one.topic, one.partition), []), key=_sequence, default=None)
            held = lowest is not None and lowest.sequence < end
            until = max(min(end, lowest.sequence), one.pruned) if lowest is not None else end
            yield Part(
                topic=one.topic,
                partition=one.partition,
                first=one.pruned + 1,
                until=until + 1,
                held=lowest.who if lowest is not None and held and until < end else "",
            )

    def _record_parts(
        self, log: Log, ours: PrunableLog, instant: dt.datetime, wanted: Mapping[Place, list[Need]]
    ) -> Iterator[Part]:
        for topic in self._topics:
            old = ours.before(topic, instant)
            for partition, (first, end) in log.bounds(topic).items():
                limit = min(old[partition], max(end - 1, first))  # the last one stays
                some = [one for one in wanted.get((topic, partition), []) if one.offset is not None]
                lowest = min(some, key=_offset, default=None)
                until = limit if lowest is None else max(min(limit, _offset(lowest)), first)
                held = "" if lowest is None or until == limit else f"{lowest.who}, offset {lowest.offset}"
                yield Part(topic=topic, partition=partition, first=first, until=until, held=held)

    # --- doing

    def run(
        self,
        limits: Limits,
        forgone: Iterable[str] = (),
        stop: threading.Event | None = None,
        report: Callable[[Pruned], None] = lambda _: None,
    ) -> Pruned:
        """Cut, look again, remove. Raises Refused when a projection would lose its history that is not in `forgone`,
        LeaseHeld while another prune is under way.
        """
        stop = stop or threading.Event()
        self._epoch = self._leases.acquire(LEASE, self._owner, _TTL, self._clock())
        try:
            plan = self.plan(limits)
            _agreed(plan, forgone)
            ends = {
                topic: {
                    one.partition: one.until - 1 for one in plan.events if one.topic == topic and one.count
                }
                for topic in self._topics
            }
            for topic in (due := [topic for topic in ends if ends[topic]]):
                self._tally(topic)
            # Counting reads all that is new, and may take long: whoever took over meanwhile may be removing already.
            self._leases.renew(LEASE, self._epoch, _TTL, self._clock())
            for topic in due:
                self._retention.cut(topic, ends[topic])
            done = Pruned(
                spared=tuple(self._spare())
            )  # also from the cut of one that died before it looked again
            for so_far in self._remove(done, plan, stop):
                report(done := so_far)
            return done
        finally:
            self._leases.release(LEASE, self._epoch, self._clock())

    def _spare(self) -> list[str]:
        """Take back what was cut off somebody who needs it, as far as it is still there. Returns who."""
        found = []
        wanted = needs(self._store, self._topics)
        for topic in self._topics:
            for one in self._retention.kept(topic):
                lowest = min(wanted.get((topic, one.partition), []), key=_sequence, default=None)
                if lowest is None or lowest.sequence >= one.pruned:
                    continue
                if self._retention.uncut(topic, {one.partition: lowest.sequence}):
                    found.append(lowest.who)
        return list(dict.fromkeys(found))

    def _remove(self, done: Pruned, plan: PrunePlan, stop: threading.Event) -> Iterator[Pruned]:
        add = msgspec.structs.replace
        yield done
        for step in self._retention.sweep():
            done = add(done, events=done.events + step.events)
            done = add(done, dropped=(*done.dropped, step.dropped)) if step.dropped else done
            done = add(done, busy=(*done.busy, step.busy)) if step.busy else done
            yield done
            if self._stopped(stop):
                yield add(done, complete=False)
                return
        log = self._log
        if not isinstance(log, PrunableLog):
            return
        for topic, firsts in self._firsts(plan).items():
            for records in log.prune(topic, firsts):
                done = add(done, records=done.records + records)
                yield done
                if self._stopped(stop):
                    yield add(done, complete=False)
                    return

    def _firsts(self, plan: PrunePlan) -> dict[str, dict[int, int]]:
        """Where the log begins afterwards. Who needs what is asked anew: sweeping the archive may have taken long."""
        wanted, found = needs(self._store, self._topics), dict[str, dict[int, int]]()
        for one in plan.records:
            offsets = [need.offset for need in wanted.get((one.topic, one.partition), [])]
            until = min([one.until, *(offset for offset in offsets if offset is not None)])
            if until > one.first:
                found.setdefault(one.topic, {})[one.partition] = until
        return found

    def _stopped(self, stop: threading.Event) -> bool:
        self._leases.renew(LEASE, self._epoch, _TTL, self._clock())
        return stop.is_set()


def _agreed(plan: PrunePlan, forgone: Iterable[str]) -> None:
    unnamed = plan.unnamed(forgone)
    if unnamed:
        first, *others = (one.projection for one in unnamed)
        command = " ".join((commands.forgo(first), *(f"--forgo {other}" for other in others)))
        raise Refused(
            "nothing was pruned: history would have no beginning any more",
            [
                *(f"{one.projection}: {why}" for one in unnamed for why in one.why),
                f"if that is meant: `{command}`",
            ],
        )


def _sequence(need: Need) -> int:
    return need.sequence


def _offset(need: Need) -> int:
    return need.offset or 0
