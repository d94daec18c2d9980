"""Which versions read together and which alone: as loops that a supervisor runs, beside those that it knows already."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from toolkit.core.errors import Fenced
from toolkit.core.projections import Definition
from toolkit.loops.group import Group
from toolkit.loops.keeping import Advanced, Keeper, Pace
from toolkit.loops.project import Projector
from toolkit.loops.supervise import Loop
from toolkit.ports import Log

NAME = "projections"
"""What the loop is called that many share."""
APART = 60.0
"""Seconds that one reads alone at least that failed in the group, or kept the others waiting."""


@dataclass(slots=True)
class _Out:
    """One that is not in the group."""

    error: Exception | None
    until: float


class _Until(threading.Event):
    """Set by itself, or by another one."""

    def __init__(self, other: threading.Event) -> None:
        super().__init__()
        self._other = other

    def is_set(self) -> bool:
        return super().is_set() or self._other.is_set()

    def wait(self, timeout: float | None = None) -> bool:
        return self._other.wait(timeout)


class Together:
    """All versions of a project read together, as far as they can; who left the group goes on alone until it has caught up."""

    def __init__(
        self,
        keeper: Callable[[Definition], Keeper],
        projector: Callable[[Definition], Projector],
        log: Callable[[], Log],
        topics: Mapping[str, int],
        pace: Pace,
        *,
        apart: float = APART,
    ) -> None:
        self._keeper, self._projector = keeper, projector
        self._log, self._topics, self._pace, self._apart = log, topics, pace, apart
        self._wanted: Mapping[str, Definition] = {}
        self._out: dict[str, _Out] = {}

    def loops(self, definitions: Iterable[Definition]) -> Mapping[str, Loop]:
        """The loops that keep these versions up to date."""
        self._wanted = {one.identity: one for one in definitions}
        loops: dict[str, Loop] = {
            name: partial(self._alone, name) for name in list(self._out) if name in self._wanted
        }
        if self._wanted.keys() - self._out.keys():
            loops[NAME] = self._together
        return loops

    def _together(self, stop: threading.Event) -> None:
        Group(self._log(), self._topics, self._pace, self._joining, self._left).run(stop)
        if stop.is_set():
            self._out.clear()

    def _joining(self, members: Iterable[str]) -> Iterable[Keeper]:
        there = {*members, *self._out}
        return [self._keeper(one) for name, one in self._wanted.items() if name not in there]

    def _left(self, name: str, error: Exception | None) -> None:
        self._out[name] = _Out(error, time.monotonic() + (self._apart if error else 0.0))

    def _alone(self, name: str, stop: threading.Event) -> None:
        """Go on alone until nothing more is to be read; then it may come into the group again."""
        out, until = self._out[name], _Until(stop)
        if isinstance(out.error, Fenced):
            error, out.error = out.error, None
            raise error  # whoever took it over is given time, as any loop gives it

        def report(done: Advanced) -> None:
            if not done.deliveries and time.monotonic() >= out.until:
                until.set()

        self._projector(self._wanted[name]).run(until, report=report)
        if not stop.is_set():
            del self._out[name]
