"""Run loops side by side, start those that are newly wanted, and keep one's failure from being another's."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from toolkit.core.errors import Fenced, Infrastructure

logger = logging.getLogger("strangler.supervise")

Loop = Callable[[threading.Event], None]
LOOK_EVERY = 1.0
AFTER_FENCED = 3.0


@dataclass(slots=True)
class _Running:
    thread: threading.Thread
    broken: list[BaseException] = field(default_factory=list)


class Supervisor:
    """Keeps the wanted loops running, each in a thread of its own.

    A loop that was fenced is begun again after a pause: somebody took its work over for a while (a repair, a rebuild)
    and is gone by then, or fences it again; or a server that came back knows another state than this loop did, and it
    has to look anew. What fenced it says so itself. A loop that broke stays down and is told in `failures`; the others go on.
    """

    def __init__(
        self,
        wanted: Callable[[], Mapping[str, Loop]],
        *,
        look_every: float = LOOK_EVERY,
        after_fenced: float = AFTER_FENCED,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wanted, self._look_every, self._after_fenced = wanted, look_every, after_fenced
        self._monotonic = monotonic
        self._running: dict[str, _Running] = {}
        self._not_before: dict[str, float] = {}
        self.failures: dict[str, BaseException] = {}

    def run(self, stop: threading.Event) -> None:
        """Supervise until `stop`, then wait for every loop to end what it has begun."""
        while not stop.is_set():
            self._reap()
            for name, loop in self._wanted_now().items():
                if name not in self._running and name not in self.failures and self._may(name):
                    self._start(name, loop, stop)
            stop.wait(self._look_every)
        for one in self._running.values():
            one.thread.join()
        self._reap()

    def _wanted_now(self) -> Mapping[str, Loop]:
        """What is wanted; nothing new while that cannot be asked, for the loops wait for the same database."""
        try:
            return self._wanted()
        except Infrastructure as error:
            logger.warning("cannot look for new work: %s; again in %.0f s", error, self._look_every)
            return {}

    def _may(self, name: str) -> bool:
        return self._monotonic() >= self._not_before.get(name, -float("inf"))

    def _start(self, name: str, loop: Loop, stop: threading.Event) -> None:
        broken: list[BaseException] = []

        def guarded() -> None:
            try:
                loop(stop)
            except BaseException as error:  # noqa: BLE001 - told in `failures`
                broken.append(error)

        thread = threading.Thread(target=guarded, name=name, daemon=True)
        self._running[name] = _Running(thread, broken)
        thread.start()

    def _reap(self) -> None:
        for name, one in list(self._running.items()):
            if one.thread.is_alive():
                continue
            del self._running[name]
            error = one.broken[0] if one.broken else None
            if isinstance(error, Fenced):
                logger.warning("%s: was fenced: %s; looks again in %.0f s", name, error, self._after_fenced)
                self._not_before[name] = self._monotonic() + self._after_fenced
            elif error is not None:
                logger.error("%s: stopped: %s", name, error)
                self.failures[name] = error
