"""Where versions sit down to read together; who has to get up goes on alone until it has caught up, and comes back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

from toolkit.core.errors import Fenced
from toolkit.loops.group import Group, Member
from toolkit.loops.keeping import Advanced, Pace, logger
from toolkit.loops.project import Projector
from toolkit.loops.stream import Report
from toolkit.ports import Log

APART = 60.0
"""Seconds that one reads alone at least that failed in the group, or kept the others waiting."""
LOOK_EVERY = 0.1


class Together:
    """The versions that a process keeps, read for by one thread while there are any."""

    def __init__(
        self, log: Callable[[], Log], topics: Mapping[str, int], pace: Pace, *, apart: float = APART
    ) -> None:
        self._log, self._topics, self._pace, self._apart = log, topics, pace, apart
        self._lock = threading.Lock()
        self._coming: list[Member] = []
        self._reads = False

    def seat(self, alone: Projector) -> Seat:
        """For the version that this projector would keep up to date alone."""
        return Seat(self, alone, self._apart)

    def read(self, member: Member) -> None:
        """Let it be read for until it is told to stop, or left."""
        with self._lock:
            self._coming.append(member)
            if not self._reads:
                self._reads = True
                threading.Thread(target=self._read, name="projections", daemon=True).start()
        member.left.wait()

    def _read(self) -> None:
        while True:
            try:
                Group(self._log(), self._topics, self._pace, self._came).run()
            except Exception as error:  # noqa: BLE001 - the members go on alone, meet it too, and tell it
                logger.warning("reading together ended: %s", error)
                for member in self._came():
                    member.error = error
                    member.left.set()
            with self._lock:
                if not self._coming:
                    self._reads = False
                    return

    def _came(self) -> list[Member]:
        with self._lock:
            came, self._coming = self._coming, []
        return came


class _Until(threading.Event):
    """Set by itself, or by another one."""

    def __init__(self, other: threading.Event) -> None:
        super().__init__()
        self._other = other

    def is_set(self) -> bool:
        return super().is_set() or self._other.is_set()

    def wait(self, timeout: float | None = None) -> bool:
        return self._other.wait(timeout)


class Seat:
    """What a projector is to whoever runs it, but reading with others. `start` first, then `run`."""

    def __init__(self, together: Together, alone: Projector, apart: float) -> None:
        self._together, self._alone, self._apart = together, alone, apart

    def start(self) -> None:
        """Create the version if it is not there, and take it over."""
        self._alone.keeper.take_over()

    def run(self, stop: threading.Event, *, report: Report = lambda _: None) -> None:
        """Read with others until `stop`; alone after a failure, and while it stands far behind. Raises Fenced and whatever
        makes a projector fail.
        """
        keeper = self._alone.keeper
        if not keeper.ready:
            self._go_alone(stop, report, 0.0)
        while not stop.is_set():
            member = Member(keeper=keeper, stop=stop, report=report)
            self._together.read(member)
            if isinstance(member.error, Fenced):
                raise member.error
            if not stop.is_set():
                why = str(member.error) or type(member.error).__name__ if member.error else "it stands behind"
                logger.info("%s reads alone for a while: %s", keeper.definition.identity, why)
                self._go_alone(stop, report, self._apart if member.error else 0.0)

    def _go_alone(self, stop: threading.Event, report: Report, least: float) -> None:
        """Until there is nothing more to read, and for so long at least."""
        until, end = _Until(stop), time.monotonic() + least

        def look(done: Advanced) -> None:
            report(done)
            if not done.deliveries and time.monotonic() >= end:
                until.set()

        self._alone.run(until, report=look)
