"""A value that is fetched again every so often, beside the calls that use it and not in them."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")
Monotonic = Callable[[], float]
Spawn = Callable[[Callable[[], None]], None]


def in_thread(work: Callable[[], None]) -> None:
    """Run `work` in a thread of its own, which never keeps the process alive."""
    threading.Thread(target=work, name="strangler-refresh", daemon=True).start()


class _Attempt:
    """One refresh under way. Once somebody has waited for it in vain, nobody waits for it again."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.given_up = False

    def wait(self, patience: float) -> None:
        if not self.given_up and not self.done.wait(patience):
            self.given_up = True


class Cached(Generic[T]):
    """The latest value of `load`, for callers that must not wait for it.

    Younger than `every`: returned as it is, without a lock. Older: returned as it is, too, while one refresh
    runs in the background. Only a value that is missing or older than `trusted` is waited for, at most
    `patience`: a source that hangs costs its callers one patience, not one each time.
    A source that fails is asked again after `every`; the old value stays.
    """

    def __init__(
        self,
        load: Callable[[], T],
        *,
        every: dt.timedelta,
        trusted: dt.timedelta,
        patience: dt.timedelta = dt.timedelta(seconds=1),
        monotonic: Monotonic = time.monotonic,
        spawn: Spawn = in_thread,
    ) -> None:
        self._load = load
        self._every, self._trusted = every.total_seconds(), trusted.total_seconds()
        self._patience = patience.total_seconds()
        self._monotonic, self._spawn = monotonic, spawn
        self._lock = threading.Lock()
        self._value: tuple[T, float] | None = None
        self._attempted = -float("inf")
        self._running: _Attempt | None = None
        self.error: Exception | None = None

    def get(self) -> T | None:
        """The value, or None when there never was one. Never raises."""
        value, now = self._value, self._monotonic()
        if value is not None and now - value[1] < self._every:
            return value[0]
        attempt = self._attempt(now)
        if attempt is not None and (value is None or now - value[1] >= self._trusted):
            attempt.wait(self._patience)
        value = self._value
        return None if value is None else value[0]

    def age(self) -> float | None:
        """Seconds since the value was asked for, or None when there is none."""
        value = self._value
        return None if value is None else self._monotonic() - value[1]

    def _attempt(self, now: float) -> _Attempt | None:
        """The refresh under way, started here unless there is one; None when the last one failed just now."""
        with self._lock:
            if self._running is not None:
                return self._running
            if now - self._attempted < self._every:
                return None
            self._attempted = now
            attempt = self._running = _Attempt()
        try:
            self._spawn(lambda: self._refresh(attempt))
        except RuntimeError as error:  # no thread can be started any more: the interpreter is ending
            self._end(attempt, error)
        return attempt

    def _refresh(self, attempt: _Attempt) -> None:
        try:
            asked = self._monotonic()
            self._value = (self._load(), asked)
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the callers keep the value they have
            self._end(attempt, error)
        else:
            self._end(attempt, None)

    def _end(self, attempt: _Attempt, error: Exception | None) -> None:
        self.error = error
        self._running = None
        attempt.done.set()
