"""`strangler run` outlives what is away for a while, as its loops do."""

import itertools
import logging
import threading

import pytest

from toolkit.core.errors import Infrastructure, NotSetUp, UsageError
from toolkit.loops.supervise import Loop, Supervisor


def test_what_is_wanted_cannot_be_asked_for_a_while_and_the_loops_go_on() -> None:
    stop, asked = threading.Event(), 0
    ended: list[str] = []

    def loop(stop: threading.Event) -> None:
        stop.wait()
        ended.append("as it was told")

    def wanted() -> dict[str, Loop]:
        nonlocal asked
        asked += 1
        if asked == 2:
            raise Infrastructure("the read store is away")
        if asked == 3:
            stop.set()
        return {"one": loop}

    Supervisor(wanted, look_every=0.001).run(stop)
    assert (asked, ended) == (3, ["as it was told"])


class Hours:
    """A clock on which each second has come as soon as it is asked for."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def test_what_cannot_be_asked_for_hours_is_asked_after_growing_pauses_and_said_rarely(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    stop, clock, asked = threading.Event(), Hours(), list[float]()

    def wanted() -> dict[str, Loop]:
        asked.append(clock.now)
        if clock.now > 7200:
            stop.set()
            return {}
        raise Infrastructure("the read store is away")

    Supervisor(wanted, look_every=0.0001, longest_pause=30.0, monotonic=clock).run(stop)
    pauses = [later - earlier for earlier, later in itertools.pairwise(asked)]
    said = [one.getMessage() for one in caplog.records]
    assert pauses == sorted(pauses)
    assert pauses[-1] >= 30
    assert len(said) < 30  # of two hours
    assert (
        said[0] == "cannot look for new work: the read store is away; tries again, after pauses of up to 30 s"
    )
    assert said[-1] == "looks for new work again"


def test_what_cannot_be_asked_of_one_keeps_no_loop_of_another_from_being_begun() -> None:
    """Neither does one that hangs for as long as a server lets it."""
    stop, begun = threading.Event(), threading.Event()

    def relay(stop: threading.Event) -> None:
        begun.set()
        stop.wait()

    def gone() -> dict[str, Loop]:
        raise NotSetUp("the read store is gone")

    def hangs() -> dict[str, Loop]:
        assert begun.wait(30)
        stop.set()
        return {}

    Supervisor(hangs, gone, lambda: {"relay": relay}, look_every=0.001).run(stop)


def test_a_loop_whose_tables_are_gone_begins_again_after_growing_pauses(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stop, begun = threading.Event(), 0

    def loop(stop: threading.Event) -> None:
        nonlocal begun
        begun += 1
        if begun == 4:
            stop.set()
            return
        raise NotSetUp("run `strangler setup` first")

    supervisor = Supervisor(lambda: {"relay of crm": loop}, look_every=0.001)
    supervisor.run(stop)
    assert (begun, supervisor.failures) == (4, {})
    assert all("run `strangler setup` first" in one.getMessage() for one in caplog.records)


def test_what_broke_in_a_database_that_is_gone_is_begun_again_in_the_new_one() -> None:
    stop, begun, gone = threading.Event(), 0, False

    def loop(stop: threading.Event) -> None:
        nonlocal begun, gone
        begun += 1
        if begun == 2:
            stop.set()
            return
        gone = True
        raise UsageError("the table of this view was dropped first")

    def wanted() -> dict[str, Loop]:
        nonlocal gone
        if gone and "accounts" in supervisor.failures:
            gone = False
            raise NotSetUp("and then all the others")
        return {"accounts": loop}

    supervisor = Supervisor(wanted, look_every=0.001)
    supervisor.run(stop)
    assert (begun, supervisor.failures) == (2, {})


def test_a_wish_that_makes_no_sense_ends_all_of_them_and_is_raised() -> None:
    def relay(stop: threading.Event) -> None:
        stop.wait()

    def nonsense() -> dict[str, Loop]:
        raise UsageError("there is no such projection")

    for wanted in ((nonsense, lambda: {"relay": relay}), (lambda: {"relay": relay}, nonsense)):
        with pytest.raises(UsageError, match="no such projection"):
            Supervisor(*wanted, look_every=0.001).run(threading.Event())
