"""Ask one side for many keys, few at a time, and never wait for ever."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from toolkit.core.errors import FaultySql

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Failure:
    """A read that gave no answer: an answer of its own kind. Equal when class and message are."""

    error: str
    message: str
    head: str = field(default="", compare=False)
    """what of the message quotes no value, where that is known"""

    @staticmethod
    def of(error: Exception) -> Failure:
        """What an exception says."""
        return Failure(type(error).__name__, str(error), error.head if isinstance(error, FaultySql) else "")

    def __str__(self) -> str:
        """As a person reads it."""
        return f"{self.error}: {self.message}"


class Readers(Generic[K, V]):
    """`threads` reads at once (0: in the caller's thread). When no read comes back within `patience` seconds, the
    side hangs: what runs is given up, and nothing more is asked until a thread is free again.

    The threads are daemons, so that a hung driver cannot keep the process from ending.
    """

    def __init__(self, ask: Callable[[K], V], *, threads: int = 0, patience: float = 30.0) -> None:
        self._ask = ask
        self._patience = patience
        self._work: queue.SimpleQueue[tuple[K, Future[V | Failure]]] = queue.SimpleQueue()
        self._threads = threads
        self._stuck: set[Future[V | Failure]] = set()
        for number in range(threads):
            threading.Thread(target=self._serve, name=f"reader-{number}", daemon=True).start()

    def read(self, keys: Sequence[K]) -> list[V | Failure]:
        """The answer, or the failure, of each key, in the order of the keys."""
        if self._threads == 0:
            return [self._one(key) for key in keys]
        futures: list[Future[V | Failure]] = [Future() for _ in keys]
        for key, future in zip(keys, futures, strict=True):
            self._work.put((key, future))
        self._await(futures)
        return [self._hung() if one.cancelled() or not one.done() else one.result() for one in futures]

    def _await(self, futures: Sequence[Future[V | Failure]]) -> None:
        self._stuck = {future for future in self._stuck if not future.done()}
        waiting = set(futures)
        while waiting and len(self._stuck) < self._threads:
            done, waiting = wait(waiting, timeout=self._patience, return_when=FIRST_COMPLETED)
            if not done:
                break
        for future in waiting:
            if not future.cancel():  # it runs, and does not come back
                self._stuck.add(future)

    def _hung(self) -> Failure:
        return Failure("ReadTimeout", f"no answer within {self._patience:g} s; the read was given up")

    def _serve(self) -> None:
        while True:
            key, future = self._work.get()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(self._one(key))
            except BaseException as error:  # noqa: BLE001 - it is raised where the answer is awaited
                future.set_exception(error)

    def _one(self, key: K) -> V | Failure:
        try:
            return self._ask(key)
        except Exception as error:  # noqa: BLE001 - an error is an answer here, and is compared
            return Failure.of(error)
