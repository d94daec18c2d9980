"""A cached value is fetched beside the calls that use it: a source that hangs or fails costs them next to nothing."""

import datetime as dt
import threading
from collections.abc import Callable

import pytest

from tests.support import wait_until
from toolkit.router.cached import Cached

SECOND = dt.timedelta(seconds=1)


class Source:
    def __init__(self) -> None:
        self.now = 0.0
        self.calls = 0
        self.broken = False
        self.pending: list[Callable[[], None]] = []

    def load(self) -> int:
        self.calls += 1
        if self.broken:
            raise OSError("away")
        return self.calls

    def clock(self) -> float:
        return self.now

    def cached(self, *, later: bool = False) -> Cached[int]:
        spawn = self.pending.append if later else (lambda work: work())
        return Cached(
            self.load,
            every=SECOND,
            trusted=5 * SECOND,
            patience=dt.timedelta(),
            monotonic=self.clock,
            spawn=spawn,
        )


def test_a_young_value_is_not_fetched_again() -> None:
    source = Source()
    cached = source.cached()
    assert [cached.get() for _ in range(100)] == [1] * 100


def test_an_older_value_is_given_at_once_while_the_next_is_fetched_once() -> None:
    source = Source()
    cached = source.cached(later=True)
    assert cached.get() is None
    source.pending.pop()()
    source.now = 1.5
    assert [cached.get() for _ in range(10)] == [1] * 10
    assert len(source.pending) == 1
    source.pending.pop()()
    assert cached.get() == 2


def test_a_source_that_fails_is_asked_once_in_a_while_and_the_old_value_stays() -> None:
    source = Source()
    cached = source.cached()
    cached.get()
    source.broken, source.now = True, 100.0
    assert [cached.get() for _ in range(50)] == [1] * 50
    assert source.calls == 2
    assert str(cached.error) == "away"
    assert cached.age() == 100.0


def test_a_value_that_is_too_old_is_waited_for() -> None:
    source = Source()
    cached = source.cached()
    cached.get()
    source.now = 6.0
    assert cached.get() == 2


def test_a_source_that_hangs_is_waited_for_once_and_not_by_every_caller(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    released, waits = threading.Event(), 0

    def hang() -> int:
        released.wait()
        return 7

    cached: Cached[int] = Cached(hang, every=SECOND, trusted=SECOND, patience=dt.timedelta(milliseconds=20))
    original = threading.Event.wait

    def count(event: threading.Event, timeout: float | None = None) -> bool:
        nonlocal waits
        waits += timeout == 0.02
        return original(event, timeout)

    monkeypatch.setattr(threading.Event, "wait", count)
    assert [cached.get() for _ in range(1000)] == [None] * 1000
    assert waits == 1
    monkeypatch.undo()
    released.set()
    wait_until(lambda: cached.get() == 7, what="the value after all")
