"""Wait until a view has come as far as somebody needs it: read-your-writes, without a transaction held open meanwhile."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Mapping

from toolkit.core.errors import Infrastructure
from toolkit.router.cached import Monotonic

AsOfs = Mapping[str, dt.datetime | None]
"""Topic to the instant that a view promises, on that topic's source's clock."""

SHORTEST, LONGEST = 0.02, 0.5
"""Seconds between two looks: short while somebody has just come, longer the longer nothing happens."""
GROWTH = 1.5


class Waiting:
    """Many who wait for one view, and one look at it for all of them.

    Whoever finds that a look is due takes it; the others are told what it saw. While nobody waits, nobody looks. What
    was seen is no promise about a later read (another version may serve by then): who waited reads, and looks again.
    """

    def __init__(self, look: Callable[[], AsOfs], monotonic: Monotonic) -> None:
        self._look, self._monotonic = look, monotonic
        self._changed = threading.Condition()
        self._looking = False
        self._attempts = 0
        self._due = -float("inf")
        self._last = -float("inf")
        self._pause = SHORTEST
        self.seen: AsOfs = {}
        self.error: Infrastructure | None = None
        self.looks = 0

    def until(self, topic: str, instant: dt.datetime, deadline: float) -> bool:
        """Was the view later than the instant before `deadline` (monotonic seconds)? Takes one new look at least."""
        with self._changed:
            self._pause, looks, attempts = SHORTEST, self.looks, self._attempts
            self._due = min(self._due, self._last + SHORTEST)
            self._changed.notify_all()
            while True:
                if self.looks > looks and later(self.seen, topic, instant):
                    return True
                now = self._monotonic()
                if now >= deadline and self._attempts > attempts:
                    return False
                if not self._looking and (now >= self._due or now >= deadline):
                    self._take()
                    continue
                until = max(deadline, now + SHORTEST) if self._looking else min(deadline, self._due)
                self._changed.wait(max(0.0, until - now))

    def _take(self) -> None:
        """One look, outside the lock; the lock is held on entry and on return."""
        self._looking = True
        self._changed.release()
        try:
            seen, error = self._looked()
        finally:
            self._changed.acquire()
            self._looking = False
            self._attempts += 1
            self._last = self._monotonic()
            self._due = self._last + self._pause
            self._pause = min(LONGEST, self._pause * GROWTH)
            self._changed.notify_all()
        self.error = error
        if error is None:
            self.seen = seen
            self.looks += 1

    def _looked(self) -> tuple[AsOfs, Infrastructure | None]:
        try:
            return self._look(), None
        except Infrastructure as error:
            return {}, error


def later(as_ofs: AsOfs, topic: str, instant: dt.datetime) -> bool:
    """Does the view contain all that was committed by the instant?

    Strictly: a commit of the same instant may have come after the relay looked.
    """
    as_of = as_ofs.get(topic)
    return as_of is not None and as_of > instant
