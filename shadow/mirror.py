"""Live reads mirrored to the shadow, off their path: the caller pays for putting a note into a queue, never for more."""

from __future__ import annotations

import os
import queue
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial

CompareOne = Callable[[str, object, object], str]
"""(capability, key, context) to the kind of verdict, which is counted. Runs in a worker."""

DROPPED = "dropped"
BROKEN = "broken"


class Mirror:
    """A bounded queue before a few worker threads.

    `submit` never waits and never raises. What comes while the queue is full is dropped and counted; an
    exception of the comparison, SystemExit included, is counted under its name, and the worker goes on.
    What is submitted is passed on as it is, uncopied: nobody may change it afterwards.
    """

    def __init__(
        self,
        compare_one: CompareOne,
        *,
        capacity: int = 1_000,
        threads: int = 1,
        on_error: Callable[[BaseException], None] | None = None,
    ) -> None:
        self._compare_one = compare_one
        self._capacity = capacity
        self._threads = threads
        self._on_error = on_error
        self._counts: Counter[str] = Counter()
        self._dropped = 0
        self._counting = threading.Lock()
        self._closed = False
        self._discard = False
        self._start()
        os.register_at_fork(after_in_child=partial(_after_fork, weakref.ref(self)))

    def submit(self, capability: str, key: object, context: object = None) -> bool:
        """Hand a read over for comparison. False: it was dropped."""
        try:
            # The size is read without a lock: several callers at once may overshoot by their number, no more.
            if not self._closed and self._queue.qsize() < self._capacity:
                self._queue.put((capability, key, context))
                return True
            with self._counting:
                self._dropped += 1
        except BaseException as error:  # noqa: BLE001 - nothing of ours may reach the caller of a read
            self._tell(BROKEN, error)
        return False

    def counts(self) -> Mapping[str, int]:
        """How many by kind of verdict, `error:NAME` for exceptions, and `dropped`."""
        with self._counting:
            return {**self._counts, **({DROPPED: self._dropped} if self._dropped else {})}

    def close(self, timeout: float = 5.0) -> bool:
        """Take no more, finish what is queued within `timeout` seconds, drop the rest. False: a worker hangs."""
        self._closed = True
        until = time.monotonic() + timeout
        for _ in self._workers:
            self._queue.put(None)
        for worker in self._workers:
            worker.join(max(0.0, until - time.monotonic()))
        self._discard = True
        self._drop_the_rest()
        return not any(worker.is_alive() for worker in self._workers)

    def _start(self) -> None:
        self._queue: queue.SimpleQueue[tuple[str, object, object] | None] = queue.SimpleQueue()
        self._workers = [
            threading.Thread(target=self._work, name=f"mirror-{number}", daemon=True)
            for number in range(self._threads)
        ]
        for worker in self._workers:
            worker.start()

    def restart(self) -> None:
        """In a forked child no thread of the parent's runs, and a lock may be held for ever: start afresh."""
        self._counting = threading.Lock()
        self._counts, self._dropped = Counter(), 0
        if not self._closed:
            self._start()

    def _work(self) -> None:
        while not self._discard:
            note = self._queue.get()
            if note is None:
                return
            try:
                self._count(self._compare_one(*note))
            except BaseException as error:  # noqa: BLE001 - whatever a comparison does, the next one is made
                self._tell(f"error:{type(error).__name__}", error)

    def _drop_the_rest(self) -> None:
        while True:
            try:
                note = self._queue.get_nowait()
            except queue.Empty:
                return
            if note is not None:
                with self._counting:
                    self._dropped += 1

    def _count(self, kind: str) -> None:
        with self._counting:
            self._counts[kind] += 1

    def _tell(self, kind: str, error: BaseException) -> None:
        try:
            self._count(kind)
            if self._on_error is not None:
                self._on_error(error)
        except BaseException:  # noqa: BLE001 - the hook that tells of errors may not make one
            self._count("error:on_error")


def _after_fork(mirror: weakref.ref[Mirror]) -> None:
    alive = mirror()
    if alive is not None:
        alive.restart()
