"""The relay: what a legacy source committed becomes events in the log, in order, with watermarks that say how far.

One leader per source does all of it: translate what is captured into the archive, publish what is archived, and,
once everything that a horizon covers is published, write a watermark with the horizon's instant to every partition.
A crash between any two steps is mended by doing them again: ids are deterministic, sequences are drawn once.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

import msgspec

from toolkit import commands
from toolkit.core.errors import Fenced, Infrastructure, LeaseHeld, NotSetUp, Refused
from toolkit.core.records import Record, Watermark
from toolkit.core.shards import WHOLE, Shard
from toolkit.inbox import Underway
from toolkit.loops.publishing import Publishing
from toolkit.ports import Archive, Clock, Horizon, Leases, LegacySource, Publisher

log = logging.getLogger("strangler.relay")


class Worked(Protocol):
    """What a translate step says of itself."""

    @property
    def changes(self) -> int: ...

    @property
    def events(self) -> int: ...

    @property
    def parked(self) -> int: ...

    @property
    def records(self) -> Sequence[Record]:
        """The events that were archived, in order."""


Translate = Callable[[int, int, int], Generator[Worked]]
"""(epoch, limit, rounds) -> what was done, batch by batch, until little waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How the relay spends its time. Seconds, unless said otherwise.

    `rounds` bounds a pass, so that a source that is written to without end gets its watermarks and its lease renewed.
    `gather` is the rest after a pass that found little: each pass sends watermarks, and each makes every projector commit.
    `longest_step` is how long a step may take, by rules that are slow or a transaction that is huge, and keep its lease:
    it would be another's otherwise, who takes as long, and nobody would ever get on. What takes longer, hangs.
    `patience` is how long `drain` waits for a promise that does not move any more.
    """

    batch: int = 10_000
    rounds: int = 20
    gather: float = 0.03
    interval: float = 0.2
    heartbeat: float = 0.5
    lease: float = 15.0
    longest_step: float = 300.0
    longest_pause: float = 30.0
    patience: float = 5.0


class RelayPass(msgspec.Struct, frozen=True, kw_only=True):
    """What one pass did. `watermark` is the instant that was promised, if one could be."""

    changes: int = 0
    events: int = 0
    parked: int = 0
    published: int = 0
    watermark: dt.datetime | None = None

    @property
    def idle(self) -> bool:
        """Was there nothing to do?"""
        return not (self.changes or self.published)


class Relay:
    """Relays one legacy source, or a shard of it, to its topic. `lead` first; then `step`, or `run` until it is told to stop.

    `complete` says whether the history from before capture is archived: until then, nothing is promised. `paused`
    is asked before each pass: a paused leader keeps its lease and does nothing, so that nobody else does, either.
    """

    def __init__(
        self,
        source: LegacySource,
        translate: Translate,
        archive: Archive,
        leases: Leases,
        publisher: Publisher,
        *,
        topic: str,
        partitions: int,
        owner: str,
        clock: Clock,
        shard: Shard = WHOLE,
        complete: Callable[[], bool] = lambda: True,
        paused: Callable[[], bool] = lambda: False,
        pace: Pace | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._complete, self._paused, self._shard = complete, paused, shard
        self._source, self._translate = source, translate
        self._archive, self._leases, self._publisher = archive, leases, publisher
        self._publishing = Publishing(archive, publisher, topic=topic, source=source.name)
        self._topic, self._owner = topic, owner
        self._partitions = [number for number in range(partitions) if shard.has(number)]
        self._name = source.name if shard.whole else f"{source.name} {shard}"
        self._clock, self._monotonic = clock, monotonic
        self._pace = pace or Pace()
        self._ttl = dt.timedelta(seconds=self._pace.lease)
        self._horizon: Horizon | None = None
        self._promised = self._renewed = self._stirred = -float("inf")
        self.epoch = 0

    @property
    def lease(self) -> str:
        """The lease's name; whoever writes to the archive for this source needs it."""
        return lease_name(self._source.name, self._shard)

    def lead(self) -> int:
        """Take the lease. Raises LeaseHeld while another relay of it is alive, or one of the source divided otherwise."""
        whole = lease_name(self._source.name)
        self.epoch = self._leases.acquire(self.lease, self._owner, self._ttl, self._clock(), whole=whole)
        self._renewed = self._monotonic()
        return self.epoch

    def resign(self) -> None:
        """Give the lease back, so that the next one need not wait for it to run out."""
        self._publishing.close()
        self._leases.release(self.lease, self.epoch, self._clock())

    def keep_leading(self) -> None:
        """Renew the lease if it is time to. Raises Fenced when another one leads by now."""
        self._renew()

    def drain(self) -> RelayPass:
        """Pass until everything that was committed when this began is published and promised. Raises Refused if paused."""
        if self._paused():
            raise Refused(f"the relay of {self._source.name} is paused", [f"{commands.RESUME} lets it go on"])
        self._promised = -float("inf")
        begun = self._source.clock()
        moved = self._monotonic()
        total = RelayPass()
        while total.watermark is None or total.watermark < begun:
            done = self.step()
            if not done.idle or (done.watermark is not None and done.watermark != total.watermark):
                moved = self._monotonic()
            total = RelayPass(
                changes=total.changes + done.changes,
                events=total.events + done.events,
                parked=total.parked + done.parked,
                published=total.published + done.published,
                watermark=done.watermark or total.watermark,
            )
            if done.idle and done.watermark is None and self._stuck():
                break
            if self._monotonic() - moved > self._pace.patience:
                break  # an idle source that another system reads for us may prove nothing newer
        return total

    def _stuck(self) -> bool:
        """Does something wait that a pass cannot move (history or changes whose backfill has not come)?"""
        capture, horizon = self._source.capture, self._horizon
        if horizon is None:
            return False
        if not self._complete():
            return True
        if isinstance(capture, Underway) and capture.underway():
            return False
        return capture.behind(horizon) > 0

    def step(self) -> RelayPass:
        """One pass. Raises Fenced when another one leads by now, Infrastructure when something is not there."""
        self._renew()
        if self._paused():
            self._horizon = None
            return RelayPass()
        if self._horizon is None:
            self._horizon = self._source.capture.horizon()
        changes = events = parked = published = 0
        batch = self._pace.batch
        for done in self._translated():
            changes, events, parked = changes + done.changes, events + done.events, parked + done.parked
            published += self._publishing.give(done.records, self.epoch, batch, self._renew)
            self._renew()
        published += self._publishing.rest(self._pace.batch, self._renew)
        watermark = self._promise(force=published > 0)
        return RelayPass(
            changes=changes, events=events, parked=parked, published=published, watermark=watermark
        )

    def _translated(self) -> Iterator[Worked]:
        try:
            with closing(self._translate(self.epoch, self._pace.batch, self._pace.rounds)) as batches:
                yield from batches
        except BaseException:
            self._publishing.doubt()  # it may have come as far as the archive
            raise

    def run(
        self,
        stop: threading.Event,
        *,
        standby: bool = False,
        gives: Callable[[], bool] = lambda: False,
        first: Callable[[int], object] = lambda _: None,
        report: Callable[[RelayPass], None] = lambda _: None,
    ) -> None:
        """Lead and pass until `stop`. What is not there is waited for with growing pauses; what was begun is ended.

        `first` is done with the epoch once this relay leads: parked changes are tried again, with the rules of now.
        `gives` is asked between two passes: should the lease be given back, for another process to take it?
        """
        if not self._elected(stop, standby):
            return
        try:
            with self.kept():
                self._pass_until(stop, gives, first, report)
        finally:
            self._leave()

    def _pass_until(
        self,
        stop: threading.Event,
        gives: Callable[[], bool],
        first: Callable[[int], object],
        report: Callable[[RelayPass], None],
    ) -> None:
        pause, begun = self._pace.interval, False
        while not stop.is_set() and not gives():
            try:
                if not begun and not self._paused():
                    first(self.epoch)
                    begun = True
                done = self.step()
            except Infrastructure as error:
                pause = min(max(pause * 2, 0.5), self._pace.longest_pause)
                log.warning("relay of %s: %s; again in %.1f s", self._name, error, pause)
                stop.wait(pause)
                self._take_over(stop)
                continue
            report(done)
            pause = self._pace.interval
            stop.wait(self._rest(done))

    @contextmanager
    def leading(self) -> Iterator[None]:
        """Lead for the time of a command, however long a step of it takes. Raises LeaseHeld."""
        self.lead()
        try:
            with self.kept():
                yield
        finally:
            self.resign()

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Renew the lease beside what takes long, once this relay leads."""
        done = threading.Event()
        self._stirred = self._monotonic()

        def keep() -> None:
            while not done.wait(self._pace.lease / 3):
                if self._monotonic() - self._stirred < self._pace.longest_step:
                    with suppress(Fenced, Infrastructure, NotSetUp):  # the next step meets it, too
                        self._leases.renew(self.lease, self.epoch, self._ttl, self._clock())

        keeping = threading.Thread(target=keep, name=f"keep {self._name}", daemon=True)
        keeping.start()
        try:
            yield
        finally:
            done.set()
            keeping.join()

    def _rest(self, done: RelayPass) -> float:
        if done.idle:
            return self._pace.interval
        return self._pace.gather if done.changes < self._pace.batch // 10 else 0.0

    def _elected(self, stop: threading.Event, standby: bool) -> bool:
        told = False
        while not stop.is_set():
            try:
                self.lead()
            except LeaseHeld as error:
                if not standby:
                    raise
                if not told:
                    log.info("relay of %s stands by: %s", self._name, error)
                told = True
                stop.wait(self._pace.lease / 3)
            except Infrastructure as error:
                if not standby:
                    raise
                log.warning("relay of %s: %s", self._name, error)
                stop.wait(self._pace.lease / 3)
            else:
                return True
        return False

    def _take_over(self, stop: threading.Event) -> None:
        """After an outage the lease may have run out: renewing it says whether somebody else took it."""
        if stop.is_set():
            return
        try:
            self._renew(now=True)
        except Infrastructure:
            return

    def _leave(self) -> None:
        try:
            self.resign()
        except Infrastructure as error:
            log.warning("relay of %s could not give its lease back: %s", self._name, error)

    def _renew(self, *, now: bool = False) -> None:
        self._stirred = self._monotonic()
        if now or self._monotonic() - self._renewed > self._pace.lease / 3:
            self._leases.renew(self.lease, self.epoch, self._ttl, self._clock())
            self._renewed = self._monotonic()

    def _promise(self, *, force: bool) -> dt.datetime | None:
        """Send the horizon's instant to every partition, if all that it covers is published.

        A horizon that is not fulfilled yet is kept: a source that is written to without end is always behind a
        newer one.
        """
        due = force or self._monotonic() - self._promised >= self._pace.heartbeat
        horizon = self._horizon
        if not due or horizon is None:
            self._horizon = None
            return None
        if not self._complete() or self._source.capture.behind(horizon):
            return None
        last = self._archive.published_to(self._topic)
        if last is None:
            return None
        self._renew(now=True)  # a former leader that wakes up here promises nothing
        self._publisher.watermark(
            {
                partition: Watermark(as_of=horizon.instant, sequence=last.get(partition, 0))
                for partition in self._partitions
            }
        )
        self._archive.watermarked(self._topic, horizon.instant, source=self._source.name, epoch=self.epoch)
        self._horizon = None
        self._promised = self._monotonic()
        return horizon.instant


def lease_name(source: str, shard: Shard = WHOLE) -> str:
    """The lease that the leader of a source holds, or the one of a shard of it: `relay:SOURCE:0/2`."""
    return f"relay:{source}" if shard.whole else f"relay:{source}:{shard}"
