"""Several versions read the log together: each event is fetched and decoded once, and folded into every one of them.

Each keeps its own checkpoint, epoch, parked events and transactions. One that fails, is taken over, or keeps the others
waiting leaves the group; what becomes of it then is its own.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from toolkit.core.errors import Infrastructure, OffsetLost
from toolkit.core.records import Delivery
from toolkit.loops.folding import Place
from toolkit.loops.keeping import Keeper, Pace, logger
from toolkit.loops.stream import Report, Stream
from toolkit.ports import Consumer, Log

WAIT = 2.0
"""Seconds that the others wait for one that is still writing."""
NEAR = 20_000
"""Deliveries that one may stand behind the others; what is further behind catches up alone."""
LOOK_EVERY = 0.05


@dataclass(slots=True, kw_only=True)
class Member:
    """One that reads with others: until `stop`, or until it `left` with an error or without."""

    keeper: Keeper
    stop: threading.Event
    report: Report
    left: threading.Event = field(default_factory=threading.Event)
    error: Exception | None = None


class Group:
    """Reads for its members, as long as it has any. `joining` gives those who came since it was asked last.

    `wait` is how long the others wait for one that is still writing; None: as long as it takes. Not `patient`, it raises
    Infrastructure when the log does not answer.
    """

    def __init__(
        self,
        log: Log,
        topics: Mapping[str, int],
        pace: Pace,
        joining: Callable[[], list[Member]],
        *,
        wait: float | None = WAIT,
        patient: bool = True,
    ) -> None:
        self._wait, self._patient = wait, patient
        self._log, self._topics, self._pace, self._joining = log, topics, pace, joining
        self._members: list[tuple[Member, Stream]] = []
        self._consumer: Consumer | None = None

    def run(self) -> None:
        """Keep the members up to date. A log that does not answer is waited for, with growing pauses."""
        pause = 0.0
        writers = ThreadPoolExecutor(64, "write")
        try:
            while True:
                try:
                    self._meet(writers)
                    if not self._members:
                        return
                    self._take(self._poll())
                    pause = 0.0
                except Infrastructure as error:
                    if not self._patient:
                        raise
                    pause = min(max(pause * 2, 0.5), self._pace.longest_pause)
                    logger.warning("the log: %s; again in %.1f s", error, pause)
                    self._close()
                    self._rest(pause)
        finally:
            self._close()
            for member, _ in list(self._members):
                self._leave(member, None)
            writers.shutdown(wait=False)  # one may hang: nobody waits for it

    # --- who reads together

    def _meet(self, writers: ThreadPoolExecutor) -> None:
        """Let go who is told to stop, take in who came; then, or when the log was lost, read where the last one stands."""
        for member, stream in list(self._members):
            if member.stop.is_set() and self._guarded(member, stream.settle):
                self._leave(member, None)
        came = self._joining()
        self._members += [(one, Stream(one.keeper, writers, one.report)) for one in came]
        if not self._members or not (came or self._consumer is None):
            return
        self._settle()
        self._drop_behind()
        self._consumer = self._consumer or self._log.consumer()
        places = [(topic, at) for topic, partitions in self._topics.items() for at in range(partitions)]
        try:
            if self._members:
                self._consumer.assign({place: min(self._standing(place)) for place in places})
        except OffsetLost:
            # Each finds out by itself whether it is the one, and says so.
            for member, _ in list(self._members):
                self._leave(member, None)

    def _standing(self, place: Place) -> list[int]:
        return [member.keeper.at.checkpoints[place].next_offset for member, _ in self._members]

    def _drop_behind(self) -> None:
        """Nobody reads again what he has for the sake of one who stands far behind."""
        stand = [
            (sum(at.next_offset for at in member.keeper.at.checkpoints.values()), member)
            for member, _ in self._members
        ]
        first = max((at for at, _ in stand), default=0)
        for at, member in stand:
            if at + NEAR < first:
                self._leave(member, None)

    def _leave(self, member: Member, error: Exception | None) -> None:
        self._members = [one for one in self._members if one[0] is not member]
        member.error = error
        member.left.set()

    def _guarded(self, member: Member, act: Callable[[], object]) -> bool:
        """Do it; whose fault it is leaves the group. Was there none?"""
        try:
            act()
        except Exception as error:  # noqa: BLE001 - told to its owner, who knows what to make of it; it must not be the others'
            self._leave(member, error)
            return False
        return True

    # --- what they read

    def _poll(self) -> list[Delivery]:
        assert self._consumer is not None
        try:
            return self._consumer.poll(self._wants, self._waits)
        except OffsetLost as error:
            raise Infrastructure(
                str(error)
            ) from error  # reading begins anew, and finds whose position is lost

    @property
    def _wants(self) -> int:
        return min(stream.wants for _, stream in self._members)

    @property
    def _waits(self) -> dt.timedelta:
        longest = dt.timedelta(seconds=self._pace.patience)
        return min(stream.patience(longest) for _, stream in self._members)

    def _take(self, deliveries: list[Delivery]) -> None:
        """Fold for each while the batch before is written; wait for all when there is no more to read yet."""
        all_that_there_was = len(deliveries) < self._wants
        if deliveries:
            for member, stream in list(self._members):
                self._guarded(member, lambda one=stream: one.give(deliveries, self._wait))  # type: ignore[misc]
        if all_that_there_was:
            self._settle()
        if not deliveries:
            for member, stream in list(self._members):
                self._guarded(member, stream.idle)

    def _settle(self) -> None:
        for member, stream in list(self._members):
            self._guarded(member, lambda one=stream: one.settle(patience=self._wait))  # type: ignore[misc]

    def _rest(self, pause: float) -> None:
        """Wait, but for nobody who is told to stop."""
        end = time.monotonic() + pause
        while time.monotonic() < end and not any(member.stop.is_set() for member, _ in self._members):
            time.sleep(LOOK_EVERY)

    def _close(self) -> None:
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None
