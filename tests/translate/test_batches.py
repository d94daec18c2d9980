"""A backlog is worked off with batches under way beside each other: to the archive it is as if one came after the other."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from typing import Any

import pytest
from sqlalchemy import text

from tests.support.legacy import hold, policy
from tests.translate.test_backfill import Writer
from tests.translate.world import NOW, World
from toolkit.core.changes import Change
from toolkit.core.errors import Fenced
from toolkit.loops.batches import Ahead, batches_of
from toolkit.loops.translate import Translated, Translation
from toolkit.ports import Cursor

ROUNDS = 50


_NOW = NOW + dt.timedelta(minutes=1)
_HOUR = dt.timedelta(hours=1)


class Crash(Exception):
    pass


@pytest.fixture
def streaming(world: World) -> World:
    world.skip_backfill()
    return world


def work(world: World, limit: int, translation: Translation | None = None) -> list[Translated]:
    """One pass."""
    with closing(batches_of(translation or world.translation())(world.epoch, limit, ROUNDS)) as batches:
        return list(batches)


def a_backlog(world: World) -> None:
    """Transactions that touch a subject once, and one that comes back to each of them."""
    for number in range(1, 13):
        world.legacy.run(policy(number), hold(number, of=number))
    world.legacy.run(
        *(f"UPDATE POLMAST SET PREM = {number}" for number in range(3)),
        *(hold(100 + number, of=number) for number in range(1, 13)),
    )


@pytest.mark.parametrize("limit", [2, 5, 1000])
def test_all_comes_once_and_in_order_whatever_the_size_of_a_batch(streaming: World, limit: int) -> None:
    a_backlog(streaming)
    done = work(streaming, limit)
    while work(streaming, limit)[-1].changes:
        pass
    assert streaming.capture.pending(10, []) == []
    assert streaming.folded() == streaming.stored()
    for number in range(1, 13):
        told = streaming.types(f"P{number:04}")
        assert told == ["PolicyStated", "HoldPlaced"] + ["PolicyStated"] * 3 + ["HoldPlaced"]
    assert [record.sequence for one in done for record in one.records if record.partition == 0] == sorted(
        record.sequence for one in done for record in one.records if record.partition == 0
    )


def test_what_is_parked_holds_back_what_was_read_ahead(streaming: World) -> None:
    streaming.legacy.run(policy(1), policy(2))
    streaming.legacy.run(hold(1, of=1, kind="X"))
    for number in range(2, 9):
        streaming.legacy.run(hold(number, of=1 + number % 2))
    while work(streaming, 2)[-1].changes:
        pass
    assert streaming.types("P0001") == ["PolicyStated"]
    assert streaming.types("P0002") == ["PolicyStated"] + ["HoldPlaced"] * 3
    assert [one.held for one in streaming.archive.parked("policy_admin")] == [False] + [True] * 4


@pytest.mark.parametrize("where", ["append", "after append", "mark"])
@pytest.mark.parametrize("at", [1, 2, 3])
def test_killed_beside_batches_under_way_it_goes_on_where_it_was(
    streaming: World, monkeypatch: pytest.MonkeyPatch, where: str, at: int
) -> None:
    a_backlog(streaming)
    name, calls = where.removeprefix("after "), 0
    owner = streaming.capture if name == "mark" else streaming.archive
    whole = getattr(owner, name)

    def broken(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls < at:
            return whole(*arguments, **named)
        if where.startswith("after"):
            whole(*arguments, **named)
        raise Crash

    with monkeypatch.context() as patched:
        patched.setattr(owner, name, broken)
        with pytest.raises(Crash):
            work(streaming, 4)
    while work(streaming, 4)[-1].changes:
        pass
    assert streaming.folded() == streaming.stored()
    with streaming.state.engine.connect() as connection:
        ids = list(connection.scalars(text("SELECT id FROM strangler_event")))
    assert len(set(ids)) == len(ids)


def test_what_waits_behind_a_batch_that_failed_is_not_archived(
    streaming: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not isinstance(streaming.capture, Ahead):
        pytest.skip("the other engines go one by one")
    for number in range(12):
        streaming.legacy.run(policy(1) if number == 0 else f"UPDATE POLMAST SET PREM = {number}")
    append, calls = streaming.archive.append, 0

    def failing_once(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise Crash
        return append(*arguments, **named)

    with monkeypatch.context() as patched:
        patched.setattr(streaming.archive, "append", failing_once)
        with pytest.raises(Crash):
            work(streaming, 2)
    assert calls == 2
    while work(streaming, 2)[-1].changes:
        pass
    assert streaming.folded() == streaming.stored()


def test_what_is_archived_is_noted_until_it_is_marked_though_the_next_batch_is_archived_meanwhile(
    streaming: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash between would offer the first one's changes again, and none of the later batches is looked through for doubles."""
    if not isinstance(streaming.capture, Ahead):
        monkeypatch.setattr(streaming.legacy.source, "capture", ReadAhead(streaming.capture))
    streaming.legacy.run(*map(policy, range(1, 31)))
    numbers = [change.number for change in streaming.capture.pending(100, [])]
    append, archived = streaming.archive.append, threading.Event()
    calls = 0

    def counting(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        done = append(*arguments, **named)
        if calls == 2:
            archived.set()
        return done

    def dying(_numbers: Sequence[int]) -> None:
        assert archived.wait(30)
        raise Crash

    with monkeypatch.context() as patched:
        patched.setattr(streaming.archive, "append", counting)
        patched.setattr(streaming.capture, "mark", dying)
        with pytest.raises(Crash):
            work(streaming, 10)
    assert streaming.archive.unmarked("policy_admin") == numbers[:20]
    while work(streaming, 3)[-1].changes:
        pass
    assert len(streaming.events()) == 30
    assert streaming.folded() == streaming.stored()


class ReadAhead:
    """A capture of any engine that can be read while those before are not marked yet."""

    def __init__(self, capture: Any) -> None:
        self._capture = capture

    def __getattr__(self, name: str) -> Any:
        return getattr(self._capture, name)

    def pending_beyond(self, limit: int, cursors: Sequence[Cursor], taken: Sequence[int]) -> list[Change]:
        found = self._capture.pending(limit + len(taken), cursors)
        return [change for change in found if change.number not in taken][:limit]


@pytest.mark.parametrize("failing", ["publishing", "append", "mark"])
def test_what_was_decided_and_never_stored_holds_nothing_back(
    streaming: World, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    """What comes later of the subject would wait behind a change that is not there, for ever if that never is parked."""
    if not isinstance(streaming.capture, Ahead):
        monkeypatch.setattr(streaming.legacy.source, "capture", ReadAhead(streaming.capture))
    streaming.legacy.run(*(policy(number) for number in range(2, 12)), policy(1, "?"), *map(policy, (12, 13)))
    translation = streaming.translation()

    def crashing(*_: object, **__: object) -> None:
        raise Crash

    with monkeypatch.context() as patched:
        if failing != "publishing":
            patched.setattr(
                streaming.archive if failing == "append" else streaming.capture, failing, crashing
            )
        with closing(batches_of(translation)(streaming.epoch, 5, ROUNDS)) as batches, suppress(Crash):
            next(batches)
    assert streaming.archive.parked("policy_admin") == []
    assert translation.held(streaming.epoch) == {}
    while work(streaming, 5, translation)[-1].changes:
        pass
    assert [one.held for one in streaming.archive.parked("policy_admin")] == [False]
    assert len(streaming.folded()) == 12


def test_a_former_leader_archives_nothing_more(streaming: World) -> None:
    a_backlog(streaming)
    translation = streaming.translation()
    batches = batches_of(translation)(streaming.epoch, 4, ROUNDS)
    next(batches)
    streaming.legacy.run(policy(77))
    streaming.state.leases.release("relay:policy_admin", streaming.epoch, _NOW)
    streaming.state.leases.acquire("relay:policy_admin", "successor", _HOUR, _NOW)
    with pytest.raises(Fenced), closing(batches):
        list(batches)
    streaming.epoch += 1
    while work(streaming, 4)[-1].changes:
        pass
    assert streaming.folded() == streaming.stored()


def test_beside_live_writers_all_comes_in_order(streaming: World) -> None:
    streaming.legacy.run(*(policy(number) for number in range(1, 50)))
    writer = Writer(streaming.legacy, 1 if streaming.legacy.sqlite else 3)
    translation = streaming.translation()
    with writer:
        for _ in range(15):
            work(streaming, 6, translation)
    assert writer.errors == []
    while work(streaming, 60, translation)[-1].changes:
        pass
    assert streaming.folded() == streaming.stored()


@pytest.mark.postgres
def test_postgresql_can_be_read_ahead_and_what_is_taken_is_left_out(
    streaming: World, request: pytest.FixtureRequest
) -> None:
    if "postgres" not in request.node.callspec.id:
        pytest.skip("the other engines go one by one")
    capture = streaming.capture
    assert isinstance(capture, Ahead)
    a_backlog(streaming)
    cursors = streaming.translation().cursors()
    first = [change.number for change in capture.pending(4, cursors)]
    following = [change.number for change in capture.pending_beyond(4, cursors, first)]
    capture.mark(first)
    assert following == [change.number for change in capture.pending(4, cursors)]


def test_a_batch_asks_neither_what_is_installed_nor_how_far_the_history_is_read_again(
    streaming: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    for part, name in ((streaming.capture, "installation"), (streaming.archive, "cursors")):
        monkeypatch.setattr(part, name, counting(asked, name, getattr(part, name)))
    a_backlog(streaming)
    translation = streaming.translation()
    assert len(work(streaming, 5, translation)) > 1
    assert asked == ["cursors"], "once, when it begins to lead"
    assert translation.complete()
    assert asked == ["cursors", "installation"]


def counting(asked: list[str], name: str, ask: Callable[..., Any]) -> Callable[..., Any]:
    def counted(*given: Any) -> Any:
        asked.append(name)
        return ask(*given)

    return counted
