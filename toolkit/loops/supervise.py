"""Run loops side by side, start those that are newly wanted, and keep one's failure from being another's."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from toolkit.core.errors import Fenced, Infrastructure, NotSetUp, StranglerError

logger = logging.getLogger("strangler.supervise")

Loop = Callable[[threading.Event], None]
Wanted = Callable[[], Mapping[str, Loop]]
LOOK_EVERY = 1.0
AFTER_FENCED = 3.0
LONGEST_PAUSE = 30.0
SAY_AGAIN = 300.0
"""Seconds that what is still the same is not said again."""


@dataclass(slots=True)
class _Running:
    thread: threading.Thread
    since: float
    broken: list[BaseException] = field(default_factory=list)


class Supervisor:
    """Keeps the wanted loops running, each in a thread of its own.

    What is wanted may be asked of several: one of them that cannot answer, or does not for long, keeps no loop of another
    from being begun. A loop that was fenced is begun again after a pause: somebody took its work over for a while (a
    repair, a rebuild) and is gone by then, or fences it again; or a server that came back knows another state than this
    loop did, and it has to look anew. What fenced it says so itself. One whose tables are gone is begun again after
    growing pauses: somebody sets them up anew. A loop that broke stays down and is told in `failures`; the others go on.
    """

    def __init__(
        self,
        *wanted: Wanted,
        look_every: float = LOOK_EVERY,
        after_fenced: float = AFTER_FENCED,
        longest_pause: float = LONGEST_PAUSE,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._parts = [_Part(one, look_every, after_fenced, longest_pause, monotonic) for one in wanted]

    @property
    def failures(self) -> dict[str, BaseException]:
        """By name, what broke the loops that stay down."""
        return {name: error for part in self._parts for name, error in part.failures.items()}

    def run(self, stop: threading.Event) -> None:
        """Supervise until `stop`, then wait for every loop to end what it has begun. Raises what a look cannot wait for."""
        first, *others = self._parts
        raised: list[BaseException] = []

        def beside(part: _Part) -> None:
            try:
                part.run(stop)
            except BaseException as error:  # noqa: BLE001 - raised by `run`
                raised.append(error)
                stop.set()

        threads = [threading.Thread(target=beside, args=(one,), daemon=True) for one in others]
        for thread in threads:
            thread.start()
        try:
            first.run(stop)
        except Exception as error:  # noqa: BLE001 - raised once the others have ended
            raised.append(error)
            stop.set()
        for thread in threads:
            thread.join()
        if raised:
            raise raised[0]


class _Part:
    """The loops that one asker wants."""

    def __init__(
        self,
        wanted: Wanted,
        look_every: float,
        after_fenced: float,
        longest_pause: float,
        monotonic: Callable[[], float],
    ) -> None:
        self._wanted, self._look_every, self._after_fenced = wanted, look_every, after_fenced
        self._longest_pause, self._monotonic = longest_pause, monotonic
        self._running: dict[str, _Running] = {}
        self._not_before: dict[str, float] = {}
        self._patience: dict[str, _Patience] = {}
        self._look = _Look(look_every, longest_pause, monotonic)
        self.failures: dict[str, BaseException] = {}

    def run(self, stop: threading.Event) -> None:
        """Supervise until `stop`, then wait for every loop to end."""
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
        if not self._look.due:
            return {}
        try:
            wanted = self._wanted()
        except (Infrastructure, NotSetUp) as error:
            self._look.failed(error)
            if isinstance(error, NotSetUp):
                self.failures.clear()  # what broke them is gone with the tables
            return {}
        self._look.answered()
        return wanted

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
        self._running[name] = _Running(thread, self._monotonic(), broken)
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
            elif isinstance(error, NotSetUp):
                self._stands_still(name, one, error)
            elif error is not None:
                logger.error("%s: stopped: %s", name, error)
                self.failures[name] = error

    def _stands_still(self, name: str, ended: _Running, error: NotSetUp) -> None:
        """It waits longer each time, and says so rarely, unless it did go on for a while."""
        now = self._monotonic()
        if name not in self._patience or now - ended.since > self._longest_pause:
            self._patience[name] = _Patience(self._look_every, self._longest_pause)
        self._not_before[name] = now + self._patience[name].grown()
        if self._patience[name].speaks(now):
            logger.error(
                "%s: stands still: %s; tries again, after pauses of up to %.0f s",
                name,
                error,
                self._longest_pause,
            )


class _Patience:
    """With what does not work yet: pauses that grow, and a word at once and then rarely."""

    def __init__(self, shortest: float, longest: float) -> None:
        self._shortest, self._longest = shortest, longest
        self._pause, self._said_at = 0.0, -float("inf")

    def grown(self) -> float:
        """The next pause."""
        self._pause = min(max(self._pause * 2, self._shortest), self._longest)
        return self._pause

    def speaks(self, now: float, *, anew: bool = False) -> bool:
        """Is it time for a word? At once where it is something new."""
        if not anew and now - self._said_at < SAY_AGAIN:
            return False
        self._said_at = now
        return True


class _Look:
    """When to ask again what is wanted."""

    def __init__(self, look_every: float, longest_pause: float, monotonic: Callable[[], float]) -> None:
        self._look_every, self._longest_pause, self._monotonic = look_every, longest_pause, monotonic
        self._patience = _Patience(look_every, longest_pause)
        self._next = -float("inf")
        self._said: type[StranglerError] | None = None

    @property
    def due(self) -> bool:
        """Is it time to ask?"""
        return self._monotonic() >= self._next

    def answered(self) -> None:
        """It could be asked."""
        if self._said is not None:
            logger.info("looks for new work again")
            self._said, self._patience = None, _Patience(self._look_every, self._longest_pause)

    def failed(self, error: StranglerError) -> None:
        """It could not."""
        now = self._monotonic()
        self._next = now + self._patience.grown()
        new, self._said = self._said is not type(error), type(error)
        if not self._patience.speaks(now, anew=new):
            return
        logger.warning(
            "cannot look for new work: %s; tries again, after pauses of up to %.0f s",
            error,
            self._longest_pause,
        )
