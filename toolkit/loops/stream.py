"""Deliveries as they come: folded a few at a time, and written as many at once, each beside the other."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from toolkit.core.records import Delivery
from toolkit.loops.keeping import Advanced, Keeper, Work

Report = Callable[[Advanced], None]

AT_ONCE = 1_000
"""Deliveries that are read and folded at once: they, and what is made of them, stay near the processor meanwhile."""
SOON = dt.timedelta(milliseconds=10)
"""How long what is folded waits for more to come with it."""


class Stream:
    """What a keeper is given, batch after batch: as long as there is more, one is folded while the one before is written."""

    def __init__(self, keeper: Keeper, writer: ThreadPoolExecutor, report: Report = lambda _: None) -> None:
        self.keeper = keeper
        self._writer, self._report = writer, report
        self._folded: Work | None = None
        self._under_way: tuple[Work, Future[None]] | None = None
        self._took = dt.timedelta()
        self._size = keeper.next_size(0, -1, self._took)

    @property
    def wants(self) -> int:
        """How many deliveries to ask the log for."""
        folded = self._folded.deliveries if self._folded is not None else 0
        return max(1, min(AT_ONCE, self._size - folded))

    def patience(self, longest: dt.timedelta) -> dt.timedelta:
        """How long to wait for them."""
        return longest if self._folded is None else min(SOON, longest)

    def take(self, deliveries: list[Delivery]) -> None:
        """What came when `wants` were asked for. Raises what its folding, or the writing of an earlier batch, came to."""
        all_that_there_was = len(deliveries) < self.wants
        if deliveries:
            self.give(deliveries)
        if all_that_there_was:
            self.settle()
        if not deliveries:
            self.idle()

    def give(self, deliveries: list[Delivery], patience: float | None = None) -> None:
        """Fold them, and write what is folded once it makes a batch."""
        self._folded = self.keeper.fold(deliveries, self._folded)
        if self._folded.deliveries >= self._size:
            self._hand_over(patience)

    def idle(self) -> None:
        """Say that there was nothing."""
        self._size = self.keeper.next_size(self._size, 0, self._took)
        if self.keeper.shared:
            self.keeper.tell_standing()
        self._report(Advanced(missing=self.keeper.at.missing))

    @property
    def settled(self) -> bool:
        """Is nothing folded or being written?"""
        return self._folded is None and self._under_way is None

    def settle(self, patience: float | None = None) -> None:
        """Write what is folded, and wait until it is written. Raises what that came to."""
        self._hand_over(patience)
        self._wait(None, patience)

    def abandon(self) -> None:
        """Forget what is folded, and wait for what is being written, whatever comes of it."""
        self._folded = None
        if self._under_way is not None:
            (_, future), self._under_way = self._under_way, None
            future.exception()

    def _hand_over(self, patience: float | None) -> None:
        """Write what is folded, once what came before it is written."""
        if (work := self._folded) is None:
            return
        self._wait(work, patience)
        self._folded = None
        self._under_way = work, self._writer.submit(self.keeper.write, work)
        self._size = self.keeper.next_size(self._size, work.deliveries, self._took)

    def _wait(self, after: Work | None, patience: float | None) -> None:
        """Wait for what is being written; something was folded after it, perhaps."""
        if self._under_way is not None:
            (work, future), self._under_way = self._under_way, None
            future.result(patience)
            self._took = work.took
            done = self.keeper.written(work, after)
            self.keeper.tell_standing()
            self._report(done)
