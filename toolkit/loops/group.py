"""Several versions read the log together: each event is fetched and decoded once, and folded into every one of them.

Each keeps its own checkpoint, epoch, parked events and transactions. One that fails, is taken over, or keeps the others
waiting leaves the group; what becomes of it then is its own.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

from toolkit.core.errors import Infrastructure, OffsetLost
from toolkit.core.records import Delivery
from toolkit.loops.folding import Place
from toolkit.loops.keeping import Keeper, Pace, Stream, logger
from toolkit.ports import Consumer, Log

WAIT = 2.0
"""Seconds that the others wait for one that is still writing."""
NEAR = 20_000
"""Deliveries that one may stand behind the others; what is further behind catches up alone."""

Left = Callable[[str, Exception | None], None]
"""Told who left the group, and the error if it was one."""


class Group:
    """Reads for its members, until it is told to stop or nobody is left. `joining` gives those who are to come in."""

    def __init__(
        self,
        log: Log,
        topics: Mapping[str, int],
        pace: Pace,
        joining: Callable[[Iterable[str]], Iterable[Keeper]],
        left: Left,
    ) -> None:
        self._log, self._topics, self._pace = log, topics, pace
        self._joining, self._left = joining, left
        self._members: dict[str, Stream] = {}
        self._consumer: Consumer | None = None
        self._size = pace.smallest

    def run(self, stop: threading.Event) -> None:
        """Keep the members up to date. A log that does not answer is waited for, with growing pauses."""
        pause = 0.0
        with ThreadPoolExecutor(64, "write") as writers:
            try:
                while not stop.is_set():
                    try:
                        self._join(writers)
                        if not self._members:
                            return
                        self._take(self._poll())
                        pause = 0.0
                    except Infrastructure as error:
                        pause = min(max(pause * 2, 0.5), self._pace.longest_pause)
                        logger.warning("the log: %s; again in %.1f s", error, pause)
                        self._close()
                        stop.wait(pause)
            finally:
                self._settle()
                self._close()
                for name in list(self._members):
                    self._leave(name, None)

    # --- who reads together

    def _join(self, writers: ThreadPoolExecutor) -> None:
        """Take in who is to come in; then, and when the log was lost, begin to read where the last of them stands."""
        came = False
        for keeper in self._joining(self._members):
            name = keeper.definition.identity
            self._members[name] = Stream(keeper, writers)
            came = self._guarded(name, keeper.take_over) or came
        if not self._members or not (came or self._consumer is None):
            return
        self._settle()
        self._drop_behind()
        self._consumer = self._consumer or self._log.consumer()
        places = [(topic, at) for topic, partitions in self._topics.items() for at in range(partitions)]
        try:
            self._consumer.assign({place: min(self._standing(place)) for place in places})
        except OffsetLost:
            # Each finds out by itself whether it is the one, and says so.
            for name in list(self._members):
                self._leave(name, None)

    def _standing(self, place: Place) -> list[int]:
        return [one.keeper.at.checkpoints[place].next_offset for one in self._members.values()]

    def _drop_behind(self) -> None:
        """Nobody reads again what he has for the sake of one who stands far behind."""
        stand = {
            name: sum(at.next_offset for at in one.keeper.at.checkpoints.values())
            for name, one in self._members.items()
        }
        first = max(stand.values(), default=0)
        for name, at in stand.items():
            if at + NEAR < first:
                self._leave(name, None)

    def _leave(self, name: str, error: Exception | None) -> None:
        del self._members[name]
        self._left(name, error)

    def _guarded(self, name: str, act: Callable[[], object]) -> bool:
        """Do it; whose fault it is leaves the group. Was there none?"""
        try:
            act()
        except Exception as error:  # noqa: BLE001 - told by whoever goes on with it alone; it must not be the others'
            logger.info("%s reads alone from now on: %s", name, str(error) or type(error).__name__)
            self._leave(name, error)
            return False
        return True

    # --- what they read

    def _poll(self) -> list[Delivery]:
        assert self._consumer is not None
        try:
            return self._consumer.poll(self._size, dt.timedelta(seconds=self._pace.patience))
        except OffsetLost as error:
            raise Infrastructure(
                str(error)
            ) from error  # reading begins anew, and finds whose position is lost

    def _take(self, deliveries: list[Delivery]) -> None:
        """Fold for each while the batch before is written; wait for all when there is no more to read yet."""
        if deliveries:
            for name, one in list(self._members.items()):
                self._guarded(name, lambda one=one: one.give(deliveries, WAIT))  # type: ignore[misc]
        if len(deliveries) < self._size:
            self._settle()
        sizes = [one.next_size(self._size, len(deliveries)) for one in self._members.values()]
        self._size = min(sizes, default=self._pace.smallest)

    def _settle(self) -> None:
        for name, one in list(self._members.items()):
            self._guarded(name, lambda one=one: one.settle(patience=WAIT))  # type: ignore[misc]

    def _close(self) -> None:
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None
