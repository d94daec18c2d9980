"""Waiting for something that another process or thread brings about."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(predicate: Callable[[], T], timeout: float = 30, *, every: float = 0.02, what: str = "") -> T:
    """Ask again until the answer is true, and return it; never a bare sleep in a test.

    The time is for a machine that is busy with everything else: who waits in vain has found a fault.
    `what` completes the sentence "waited 30 s for ..." when it does not come.
    """
    deadline = time.monotonic() + timeout
    while not (answer := predicate()):
        if time.monotonic() >= deadline:
            raise AssertionError(
                f"waited {timeout} s for {what or getattr(predicate, '__name__', predicate)}; last answer: {answer!r}"
            )
        time.sleep(every)
    return answer
