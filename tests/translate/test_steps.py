"""Translation step by step, with a real source and a real archive (R2, R4, R6), and with a crash at each step."""

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest
from sqlalchemy import text

from tests.support.legacy import hold, outbox, policy
from tests.translate.domain import KINDS, rules
from tests.translate.world import NOW, World
from toolkit.core.changes import Change
from toolkit.core.errors import Fenced
from toolkit.loops.translate import Translated
from toolkit.ports import Cursor


class Crash(Exception):
    pass


def crash(*_: Any, **__: Any) -> Any:
    raise Crash


@pytest.fixture
def mended(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """The rule learns the code it did not know."""
    return lambda: monkeypatch.setattr("tests.translate.domain.KINDS", KINDS | {"X"})


@pytest.fixture
def streaming(world: World) -> World:
    world.skip_backfill()
    return world


def test_changes_become_events_once(streaming: World) -> None:
    streaming.legacy.run(policy(1), hold(1, of=1), outbox(1, of=1))
    translation = streaming.translation()
    assert translation.step(streaming.epoch, 100) == Translated(changes=3, events=3)
    assert translation.step(streaming.epoch, 100) == Translated()
    assert streaming.types("P0001") == ["PolicyStated", "HoldPlaced", "ReleaseConfirmed"]


def test_a_crash_before_marking_does_the_step_again_without_a_double(
    streaming: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    streaming.legacy.run(policy(1))
    streaming.legacy.run(hold(1, of=1, kind="X"))
    streaming.legacy.run(hold(2, of=1))
    with monkeypatch.context() as patched:
        patched.setattr(streaming.capture, "mark", crash)
        with pytest.raises(Crash):
            streaming.translation().step(streaming.epoch, 100)
    before = streaming.archive.parked("policy_admin")
    assert streaming.translation().step(streaming.epoch, 100).events == 0
    assert streaming.archive.parked("policy_admin") == before
    assert [(one.change.table, one.held) for one in before] == [("POLHOLD", False), ("POLHOLD", True)]
    assert streaming.types("P0001") == ["PolicyStated"]


def test_who_leads_again_ends_the_step_of_whoever_led_and_died_in_between(
    streaming: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    streaming.legacy.run(policy(1))
    mine = streaming.translation()
    assert mine.step(streaming.epoch, 100).events == 1
    leases, name = streaming.state.leases, "relay:policy_admin"
    leases.release(name, streaming.epoch, NOW)
    other = leases.acquire(name, "other", dt.timedelta(), NOW)
    streaming.legacy.run(hold(1, of=1))
    theirs = streaming.translation()
    changes = theirs.read(other, 100)
    with monkeypatch.context() as patched:
        patched.setattr(streaming.capture, "mark", crash)
        with pytest.raises(Crash):
            theirs.take(changes, other)
    again = leases.acquire(name, "test", dt.timedelta(hours=1), NOW)
    assert mine.step(again, 100) == Translated(), "it is marked, not translated again"
    assert streaming.types("P0001") == ["PolicyStated", "HoldPlaced"]


class Again:
    """Captures at least once: what was marked comes again, under another number."""

    def __init__(self, capture: Any) -> None:
        self._capture = capture
        self._given: list[Change] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._capture, name)

    def repeats(self) -> bool:
        return True

    def pending(self, limit: int, cursors: Sequence[Cursor]) -> list[Change]:
        new = self._capture.pending(limit, cursors)
        again = [msgspec.structs.replace(one, number=one.number + 10**9) for one in self._given]
        self._given = new
        return [*new, *again]


def test_what_a_capture_sends_again_after_it_was_marked_is_no_second_event(
    streaming: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming.legacy.source, "capture", Again(streaming.capture))
    translation = streaming.translation()
    streaming.legacy.run(policy(1))
    assert translation.step(streaming.epoch, 100).events == 1
    streaming.legacy.run(policy(2))
    assert translation.step(streaming.epoch, 100).events == 1
    assert len(streaming.events()) == 2


def test_a_crash_before_archiving_loses_nothing(streaming: World, monkeypatch: pytest.MonkeyPatch) -> None:
    streaming.legacy.run(policy(1))
    with monkeypatch.context() as patched:
        patched.setattr(streaming.archive, "append", crash)
        with pytest.raises(Crash):
            streaming.translation().step(streaming.epoch, 100)
    streaming.drain()
    assert streaming.types("P0001") == ["PolicyStated"]


def test_what_was_parked_by_a_transaction_whose_end_was_not_heard_holds_its_subject(
    streaming: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same process goes on after an outage: it must not trust what it remembers."""
    streaming.legacy.run(hold(1, of=1, kind="X"))
    translation = streaming.translation()
    translation.step(streaming.epoch, 100)
    streaming.legacy.run(hold(2, of=2, kind="X"))
    append = streaming.archive.append
    with monkeypatch.context() as patched:
        patched.setattr(streaming.archive, "append", lambda *a, **k: crash(append(*a, **k)))
        with pytest.raises(Crash):
            translation.step(streaming.epoch, 100)
    streaming.capture.mark([one.number for one in streaming.capture.pending(10, [])])
    streaming.legacy.run(hold(3, of=2))
    assert translation.step(streaming.epoch, 100) == Translated(changes=1, parked=1, held=1)


def test_an_unknown_code_holds_its_subject_and_nobody_else(streaming: World) -> None:
    streaming.legacy.run(policy(1), policy(2))
    streaming.legacy.run(hold(1, of=1, kind="X"))
    streaming.legacy.run(hold(2, of=1), hold(3, of=2))
    streaming.drain()
    assert streaming.types("P0001") == ["PolicyStated"]
    assert streaming.types("P0002") == ["PolicyStated", "HoldPlaced"]
    fault, held = streaming.archive.parked("policy_admin")
    assert "POLHOLD HLD_ID=1" in fault.reason
    assert (fault.held, held.held) == (False, True)


def test_another_process_holds_the_parked_subject_too(streaming: World) -> None:
    streaming.legacy.run(hold(1, of=1, kind="X"))
    streaming.drain()
    streaming.legacy.run(hold(2, of=1))
    streaming.drain(streaming.translation())
    assert streaming.types("P0001") == []


def test_once_the_rule_is_mended_all_flows_in_the_order_of_the_commits(
    streaming: World, mended: Callable[[], None]
) -> None:
    streaming.legacy.run(policy(1))
    streaming.legacy.run(hold(1, of=1, kind="X"))
    streaming.legacy.run("DELETE FROM POLHOLD WHERE HLD_ID = 1")
    streaming.legacy.run(hold(2, of=1))
    translation = streaming.translation()
    streaming.drain(translation)
    assert translation.replay(streaming.epoch) == Translated(changes=3, parked=3, held=2)
    mended()
    assert translation.replay(streaming.epoch) == Translated(changes=3, events=3)
    assert streaming.types("P0001") == ["PolicyStated", "HoldPlaced", "HoldReleased", "HoldPlaced"]
    assert streaming.archive.parked("policy_admin") == []
    streaming.legacy.run(hold(3, of=1))
    streaming.drain(translation)
    assert streaming.folded() == streaming.stored()


def test_a_subject_that_still_fails_keeps_its_place(streaming: World, mended: Callable[[], None]) -> None:
    streaming.legacy.run(hold(1, of=1, kind="X"))
    streaming.legacy.run(hold(2, of=1, kind="Y"))
    streaming.legacy.run(hold(3, of=1))
    streaming.drain()
    mended()
    assert streaming.translation().replay(streaming.epoch) == Translated(
        changes=3, events=1, parked=2, held=1
    )
    fault, held = streaming.archive.parked("policy_admin")
    assert "HLD_TYP 'Y'" in fault.reason
    assert not fault.held
    assert held.held


def test_a_choice_of_parked_changes_never_overtakes_those_before(
    streaming: World, mended: Callable[[], None]
) -> None:
    streaming.legacy.run(hold(1, of=1, kind="X"))
    streaming.legacy.run(hold(2, of=1))
    streaming.legacy.run(hold(3, of=2, kind="X"))
    streaming.drain()
    mended()
    streaming.translation().replay(streaming.epoch, lambda one: one.change.row["HLD_ID"] == 2)
    assert streaming.types("P0001") == ["HoldPlaced", "HoldPlaced"]
    assert streaming.types("P0002") == []


def test_a_decimal_waits_as_a_decimal(streaming: World, monkeypatch: pytest.MonkeyPatch) -> None:
    streaming.legacy.run(policy(1, status="?", premium="0.10"))
    streaming.drain()
    streaming.legacy.run("UPDATE POLMAST SET STAT_CD = 'A'")
    streaming.drain()
    premiums = [one.change["PREM"] for one in streaming.archive.parked("policy_admin")]
    assert premiums[0] == premiums[1]
    assert type(premiums[0]).__name__ == "Decimal"


def test_a_zombie_writes_nothing_and_marks_nothing(streaming: World) -> None:
    streaming.legacy.run(policy(1))
    with pytest.raises(Fenced):
        streaming.translation().step(streaming.epoch - 1, 100)
    assert streaming.events() == []
    streaming.drain()
    assert streaming.types("P0001") == ["PolicyStated"]


def test_the_batch_size_changes_nothing(streaming: World) -> None:
    for number in range(1, 8):
        streaming.legacy.run(policy(number), hold(number, of=number), hold(100 + number, of=number))
        streaming.legacy.run(f"DELETE FROM POLHOLD WHERE HLD_ID = {number}")
    streaming.drain(limit=1)
    assert streaming.folded() == streaming.stored()
    if streaming.legacy.sqlite:
        return
    streaming.legacy.run(policy(50), *(hold(200 + number, of=50) for number in range(9)))
    streaming.drain(streaming.translation(rules(together=True)), limit=2)
    assert [data["rows"] for name, data in streaming.events("P0050") if name == "WorkDone"] == [10]


def test_a_long_transaction_is_found_when_it_commits(streaming: World) -> None:
    if streaming.legacy.sqlite:
        pytest.skip("SQLite has one writer: nobody commits before an open transaction does")
    with streaming.legacy.engine.connect() as slow:
        slow.execute(text(policy(1)))
        streaming.legacy.run(policy(2))
        streaming.drain()
        slow.commit()
    streaming.drain()
    assert streaming.types("P0001") == streaming.types("P0002") == ["PolicyStated"]
