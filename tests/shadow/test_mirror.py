"""R7: the caller of a read never pays for the shadow."""

import os
import threading
from collections.abc import Callable
from typing import NoReturn

import pytest

from shadow.mirror import Mirror
from tests.support import wait_until


def live_read(mirror: Mirror, key: str = "P-1") -> dict[str, str]:
    """What a router does: answer, and hand the read over."""
    answer = {"status": "in_force"}
    mirror.submit("portal-policy", key, answer)
    return answer


def test_every_read_handed_over_is_compared_and_counted_by_kind() -> None:
    seen = []

    def compare_one(capability: str, key: object, context: object) -> str:
        seen.append((capability, key, context))
        return "match" if key != "P-3" else "semantic"

    mirror = Mirror(compare_one)
    for key in ("P-1", "P-2", "P-3"):
        live_read(mirror, key)
    assert mirror.close()
    assert mirror.counts() == {"match": 2, "semantic": 1}
    assert seen[0] == ("portal-policy", "P-1", {"status": "in_force"})


def test_a_hung_shadow_does_not_hold_the_caller_and_what_is_too_much_is_dropped_and_counted() -> None:
    release, inside = threading.Event(), threading.Event()

    def hang(*_: object) -> str:
        inside.set()
        release.wait(60)
        return "match"

    mirror = Mirror(hang, capacity=10)
    live_read(mirror)
    assert inside.wait(30)
    # The one worker is inside and stays there: were submit to wait for it, this would never end.
    assert [live_read(mirror) for _ in range(1_000)] == [{"status": "in_force"}] * 1_000
    assert mirror.counts() == {"dropped": 990}
    assert not mirror.close(timeout=0.05)
    assert mirror.counts() == {"dropped": 1_000}
    release.set()


@pytest.mark.parametrize(
    "error", [ValueError, RuntimeError, SystemExit, KeyboardInterrupt, GeneratorExit, MemoryError]
)
def test_no_exception_of_the_shadow_reaches_the_caller_or_ends_the_worker(error: type[BaseException]) -> None:
    def compare_one(_: str, key: object, __: object) -> str:
        if key == "bad":
            raise error("from the comparator")
        return "match"

    told: list[BaseException] = []
    mirror = Mirror(compare_one, on_error=told.append)
    for key in ("bad", "P-1", "bad", "P-2"):
        assert live_read(mirror, key) == {"status": "in_force"}
    assert mirror.close()
    assert mirror.counts() == {f"error:{error.__name__}": 2, "match": 2}
    assert [type(one) for one in told] == [error, error]


def test_an_error_in_the_hook_that_tells_of_errors_is_counted_too() -> None:
    def fail(*_: object) -> NoReturn:
        raise SystemExit

    mirror = Mirror(fail, on_error=fail)
    live_read(mirror)
    assert mirror.close()
    assert mirror.counts() == {"error:SystemExit": 1, "error:on_error": 1}


def test_a_broken_queue_is_our_trouble_not_the_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> int:
        raise SystemExit

    class Broken:
        qsize = staticmethod(broken)

    mirror = Mirror(lambda *_: "match")
    assert mirror.close()
    mirror._closed = False
    monkeypatch.setattr(mirror, "_queue", Broken())
    assert live_read(mirror) == {"status": "in_force"}
    assert mirror.counts() == {"broken": 1}


def test_what_comes_after_closing_is_dropped() -> None:
    mirror = Mirror(lambda *_: "match")
    assert mirror.close()
    assert not mirror.submit("portal-policy", "P-1")
    assert mirror.counts() == {"dropped": 1}


def test_closing_finishes_what_is_queued() -> None:
    mirror = Mirror(lambda *_: "match", threads=2)
    for number in range(500):
        mirror.submit("portal-policy", number)
    assert mirror.close(timeout=60)
    assert mirror.counts() == {"match": 500}


def test_a_forked_child_has_a_mirror_that_works() -> None:
    """Web servers load once and fork: the parent's threads are not in the child."""
    mirror = Mirror(lambda *_: "match")
    live_read(mirror)
    wait_until(lambda: mirror.counts() == {"match": 1})

    def child() -> bool:
        live_read(mirror)
        live_read(mirror)
        return mirror.close(30) and mirror.counts() == {"match": 2}

    assert in_a_fork(child)
    assert mirror.close()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def in_a_fork(question: Callable[[], bool]) -> bool:
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(0 if question() else 1)
        finally:
            os._exit(2)
    return os.waitpid(pid, 0)[1] == 0
