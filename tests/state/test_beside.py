"""What a leader does at the same time: it appends, and notes beside that what is published. Nobody takes over meanwhile."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillRunning
from typing import Any

import pytest

from adapters.state import events
from adapters.state.store import State
from tests.state.test_archive import PARTITIONS, TOPIC, fill, publish_all
from tests.state.test_archive import epoch as led
from tests.support.state import SECOND, SOURCE, START
from toolkit.core.errors import Fenced
from toolkit.core.records import Run, partition_of
from toolkit.loops.relay import lease_name

epoch = led
A_WHILE = 0.5


PLACE = partition_of("P-0", PARTITIONS)


def publish(state: State, epoch: int, run: Run) -> None:
    state.archive.published(TOPIC, [run], source=SOURCE, epoch=epoch)


class Held:
    """The next who has stored events (or noted what is published) stands still before its commit, until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, where: str = "insert") -> None:
        self.reached, self._go = threading.Event(), threading.Event()
        store = getattr(events, where)

        def standing(*given: Any) -> None:
            store(*given)
            if not self.reached.is_set():
                self.reached.set()
                assert self._go.wait(30)

        monkeypatch.setattr(events, where, standing)

    def let_go(self) -> None:
        self._go.set()


@pytest.fixture
def beside() -> Iterator[Callable[..., Future[Any]]]:
    with ThreadPoolExecutor(4) as pool:
        yield pool.submit


def waits(one: Future[Any]) -> bool:
    try:
        one.result(A_WHILE)
    except StillRunning:
        return True
    return False


def test_what_is_published_is_noted_while_the_next_events_are_appended(
    state: State, epoch: int, monkeypatch: pytest.MonkeyPatch, beside: Callable[..., Future[Any]]
) -> None:
    if state.engine.dialect.name == "sqlite":
        pytest.skip("SQLite has one writer")
    fill(state, epoch, range(10))
    held = Held(monkeypatch)
    appending = beside(fill, state, epoch, range(10, 20))
    assert held.reached.wait(30)
    publish_all(state, epoch)
    assert not appending.done()
    held.let_go()
    assert appending.result(30) == 10
    assert (state.archive.backlog(TOPIC), sum(state.archive.last_sequences(TOPIC).values())) == (10, 20)


def test_the_same_step_beside_one_that_was_given_up_for_lost_adds_nothing(
    state: State, epoch: int, monkeypatch: pytest.MonkeyPatch, beside: Callable[..., Future[Any]]
) -> None:
    fill(state, epoch, range(10))
    held = Held(monkeypatch)
    lost = beside(fill, state, epoch, range(10, 20))
    assert held.reached.wait(30)
    again = beside(fill, state, epoch, range(10, 25))
    assert waits(again)
    held.let_go()
    assert (lost.result(30), again.result(30)) == (10, 5)
    assert sum(state.archive.last_sequences(TOPIC).values()) == 25


def test_what_is_published_again_beside_a_note_that_was_given_up_for_lost_changes_nothing_of_it(
    state: State, epoch: int, monkeypatch: pytest.MonkeyPatch, beside: Callable[..., Future[Any]]
) -> None:
    fill(state, epoch, range(10), subjects=1)
    held = Held(monkeypatch, "note")
    lost = beside(publish, state, epoch, Run(partition=PLACE, sequence=1, offset=7, count=10))
    assert held.reached.wait(30)
    again = beside(publish, state, epoch, Run(partition=PLACE, sequence=1, offset=1007, count=4))
    assert waits(again)
    held.let_go()
    lost.result(30)
    again.result(30)
    assert [one.at.offset for one in state.archive.scan(TOPIC, {}, 100)] == list(range(7, 17))


def test_nobody_takes_over_while_a_leader_appends(
    state: State, epoch: int, monkeypatch: pytest.MonkeyPatch, beside: Callable[..., Future[Any]]
) -> None:
    held = Held(monkeypatch)
    appending = beside(fill, state, epoch, range(10))
    assert held.reached.wait(30)
    late = START + 61 * SECOND
    successor = beside(state.leases.acquire, lease_name(SOURCE), "successor", 60 * SECOND, late)
    assert waits(successor)
    held.let_go()
    assert (appending.result(30), successor.result(30)) == (10, epoch + 1)
    with pytest.raises(Fenced):
        publish_all(state, epoch)
