"""Backfill joins the stream with neither gap nor double, whatever happens beside it, and wherever it is killed (R1, R4)."""

import contextlib
import random
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError, OperationalError

from migrations.schema.state import event
from tests.support.legacy import POLICY, TABLES, Legacy, hold, outbox, policy
from tests.translate.domain import CATALOGUE, TOPIC, rules
from tests.translate.world import NOW, PARTITIONS, World
from toolkit.core.errors import UsageError
from toolkit.loops.backfill import Backfill
from toolkit.loops.translate import Translation

POLICIES = 40


class Crash(Exception):
    pass


def business(random_: random.Random, at: int) -> list[str]:
    """One business transaction on a few policies, which now and then takes a row away or brings a new one."""
    number = random_.randrange(1, POLICIES + 10)
    key = f"'P{number:04}   '"
    steps = [
        f"UPDATE POLMAST SET PREM = PREM + 1 WHERE POL_NO = {key}"
    ]  # the aggregate's row is locked first
    kind = random_.randrange(5)
    if kind == 0:
        steps.append(hold(1000 + at, of=number))
    elif kind == 1:
        steps.append(f"DELETE FROM POLHOLD WHERE POL_NO = 'P{number:04}'")
    elif kind == 2:
        steps += [
            f"DELETE FROM POLMAST WHERE POL_NO = {key}",
            f"INSERT INTO POLMAST VALUES ({key}, 'N ', 5.50, NULL)",
        ]
    elif kind == 3:
        steps.append(outbox(1000 + at, of=number))
    return steps


@contextlib.contextmanager
def losing() -> Iterator[None]:
    """Two may bring the same new row at once. The second one's transaction fails, or, where both have locked the gap that
    the row is to come into, as InnoDB's do, one of them is the victim of a deadlock."""
    try:
        yield
    except IntegrityError:
        pass
    except OperationalError as error:
        if "Deadlock" not in str(error.orig):
            raise


class Writer:
    """The application, at work in threads of its own until it is told to stop. Some transactions are rolled back."""

    def __init__(self, legacy: Legacy, threads: int) -> None:
        self._legacy, self._stop = legacy, threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(at,)) for at in range(threads)]
        self.errors: list[Exception] = []

    def __enter__(self) -> None:
        for thread in self._threads:
            thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        assert self.errors == []

    def _work(self, seed: int) -> None:
        random_, at = random.Random(seed), seed * 100_000
        try:
            while not self._stop.is_set():
                at += 1
                with losing(), self._legacy.engine.connect() as connection:
                    for statement in business(random_, at):
                        connection.execute(text(statement))
                    connection.rollback() if random_.random() < 0.1 else connection.commit()
                self._stop.wait(0.002)
        except Exception as error:  # noqa: BLE001 - shown by the test that started the thread
            self.errors.append(error)


def fill(legacy: Legacy, count: int = POLICIES) -> None:
    legacy.run(*(policy(number) for number in range(1, count + 1)))
    legacy.run(*(hold(number, of=number) for number in range(1, count + 1, 3)))


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_all_that_was_there_is_established_once(world: World, chunk: int) -> None:
    fill(world.legacy)
    world.legacy.run(hold(900, of=900))
    world.capture.mark([one.number for one in world.capture.pending(1000, [])])
    backfill, rows = world.backfill(chunk), 0
    assert backfill.estimate() == POLICIES
    while step := backfill.step(world.epoch):
        rows += step.rows
        assert step.remaining == backfill.estimate()
    assert rows == POLICIES + len(range(1, POLICIES + 1, 3)) + 1
    assert world.folded() == world.stored()
    assert world.types("P0900") == ["HoldPlaced"]
    assert backfill.step(world.epoch) is None


def test_a_subjects_rows_come_in_the_order_of_the_aggregates_tables(world: World) -> None:
    world.legacy.run(hold(1, of=1), outbox(1, of=1), policy(1))
    while world.backfill(10).step(world.epoch):
        pass
    assert world.types("P0001") == ["PolicyStated", "HoldPlaced", "ReleaseConfirmed"]


def test_a_change_that_the_rows_contain_is_absorbed(world: World) -> None:
    world.legacy.run(policy(1))
    world.legacy.run("UPDATE POLMAST SET STAT_CD = 'C '")
    backfill = world.backfill(10)
    assert world.translation().step(world.epoch, 100).changes == 0
    backfill.step(world.epoch)
    world.drain()
    assert [(name, data["status"]) for name, data in world.events("P0001")] == [("PolicyStated", "C")]
    assert world.capture.pending(10, []) == []


def test_changes_wait_until_their_subject_is_established(world: World) -> None:
    world.legacy.run(*(policy(number) for number in range(1, 5)))
    backfill = world.backfill(2)
    backfill.step(world.epoch)
    world.legacy.run("UPDATE POLMAST SET PREM = 7")
    world.drain()
    assert [len(world.types(f"P{number:04}")) for number in range(1, 5)] == [2, 2, 0, 0]
    while backfill.step(world.epoch):
        pass
    world.drain()
    assert world.folded() == world.stored()


def test_a_row_that_moves_to_a_subject_whose_turn_has_not_come_is_established_there_too(world: World) -> None:
    """Its key is the same, so an id that is made of the key alone would take the second finding for the first one."""
    world.legacy.run(*(policy(number) for number in range(1, 5)), hold(1, of=1))
    backfill = world.backfill(2)
    backfill.step(world.epoch)
    world.legacy.run("UPDATE POLHOLD SET POL_NO = 'P0004' WHERE HLD_ID = 1")
    while backfill.step(world.epoch):
        pass
    world.drain()
    assert world.types("P0004") == ["PolicyStated", "HoldPlaced"]
    with world.state.engine.connect() as connection:
        ids = list(connection.scalars(select(event.c.id)))
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("chunk", [1, 3, 11])
def test_beside_a_live_writer_the_events_say_what_the_tables_say(world: World, chunk: int) -> None:
    fill(world.legacy)
    translation = world.translation()
    backfill = world.backfill(chunk, translation)
    with Writer(world.legacy, threads=1 if world.legacy.sqlite else 4):
        while backfill.step(world.epoch):
            translation.step(world.epoch, 7)
        for _ in range(30):
            translation.step(world.epoch, 7)
    world.drain(translation)
    assert world.archive.parked("policy_admin") == []
    assert world.folded() == world.stored()
    ids = [data for name, data in world.events() if name == "ReleaseConfirmed"]
    assert len(ids) == len({str(data) for data in ids}) == confirmed_in(world)


def confirmed_in(world: World) -> int:
    with world.legacy.engine.connect() as connection:
        return int(connection.scalar(text("SELECT count(*) FROM OUTBOX")) or 0)


@pytest.mark.parametrize("where", ["append", "after append", "mark", "unmarked"])
def test_killed_anywhere_it_goes_on_where_it_was(
    world: World, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The chunk after the kill is begun by another process, which translates before it backfills."""
    fill(world.legacy)
    world.legacy.run("UPDATE POLMAST SET PREM = PREM + 1")
    world.backfill(5).step(world.epoch)
    with monkeypatch.context() as patched:
        break_at(world, where, patched)
        with pytest.raises(Crash):
            world.backfill(5).step(world.epoch)
    world.translation().step(world.epoch, 1000)
    while world.backfill(5).step(world.epoch):
        world.translation().step(world.epoch, 1000)
    world.drain()
    assert world.folded() == world.stored()
    assert [name for name, _ in world.events()].count("PolicyStated") == POLICIES


def break_at(world: World, where: str, patched: pytest.MonkeyPatch) -> None:
    append = world.archive.append

    def broken(*arguments: Any, **options: Any) -> Any:
        if where == "after append":
            append(*arguments, **options)
        raise Crash

    name = where.removeprefix("after ")
    patched.setattr(world.capture if name == "mark" else world.archive, name, broken)


def test_a_row_nobody_understands_holds_the_changes_that_follow(world: World) -> None:
    world.legacy.run(policy(1, status="?"), policy(2))
    translation = world.translation()
    assert (step := world.backfill(10, translation).step(world.epoch)) is not None
    assert step.parked == 1
    world.legacy.run("UPDATE POLMAST SET STAT_CD = 'A'")
    world.drain(translation)
    assert (world.types("P0001"), world.types("P0002")) == ([], ["PolicyStated", "PolicyStated"])


def test_skipped_nothing_is_read_and_all_that_follows_flows(world: World) -> None:
    fill(world.legacy)
    world.capture.mark([one.number for one in world.capture.pending(1000, [])])
    world.skip_backfill()
    world.legacy.run("UPDATE POLMAST SET PREM = 1 WHERE POL_NO = 'P0001   '")
    world.drain()
    assert [data["policy_no"] for _, data in world.events()] == ["P0001"]


def test_skipping_does_not_forget_what_a_killed_step_used_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.skip_backfill()
    world.legacy.run(policy(1))
    with monkeypatch.context() as patched:
        break_at(world, "mark", patched)
        with pytest.raises(Crash):
            world.translation().step(world.epoch, 100)
    world.skip_backfill()
    assert world.capture.pending(10, []) == []


def test_a_table_that_joins_an_aggregate_loses_no_change_of_the_others(world: World) -> None:
    """The rows are read again, and what they say is not taken for what they said."""
    world.legacy.run(policy(1))
    alone = Translation(
        world.legacy.source,
        rules(),
        CATALOGUE,
        world.archive,
        groups=[["POLMAST"]],
        topic=TOPIC,
        partitions=PARTITIONS,
        clock=lambda: NOW,
    )
    while Backfill(alone, [[POLICY]]).step(world.epoch):
        pass
    world.drain(alone)
    world.legacy.run("UPDATE POLMAST SET PREM = PREM + 1", hold(1, of=1))
    while world.backfill(5).step(world.epoch):
        pass
    world.drain()
    assert world.folded() == world.stored()


def test_a_second_backfill_of_the_same_rows_gives_no_second_event(world: World) -> None:
    fill(world.legacy)
    while world.backfill(9).step(world.epoch):
        pass
    events = world.events()
    cursors = world.archive.cursors("policy_admin")
    world.archive.append(
        "policy_admin",
        TOPIC,
        [],
        partitions=PARTITIONS,
        epoch=world.epoch,
        cursors=[type(one)(tables=one.tables) for one in cursors],
    )
    while world.backfill(4).step(world.epoch):
        pass
    assert world.events() == events


def test_the_pause_grows_with_the_time_that_legacy_needed(world: World) -> None:
    fill(world.legacy)
    times, pauses = iter([0.0, 3.0, 10.0, 14.0]), list[float]()
    backfill = world.backfill(20)
    backfill._sleep, backfill._monotonic, backfill._pace = pauses.append, lambda: next(times), 0.25
    backfill.step(world.epoch)
    backfill.step(world.epoch)
    assert pauses == [9.0, 12.0]


def test_a_pace_that_is_no_share_is_refused(world: World) -> None:
    from toolkit.loops.backfill import Backfill

    with pytest.raises(UsageError, match="share of time"):
        Backfill(world.translation(), [], pace=0)


def test_outbox_rows_that_are_read_again_are_the_same_events(world: World) -> None:
    """Installed anew, capture begins a new history; what an outbox row said is no new fact by that (R4)."""
    world.skip_backfill()
    world.legacy.run(outbox(1, of=1), outbox(2, of=1))
    world.drain()
    before = world.events()
    assert len(before) == 2
    world.capture.remove(world.capture.plan(TABLES))
    world.legacy.run(outbox(3, of=1))
    world.legacy.install()
    world.legacy.run(outbox(4, of=1))
    backfill = world.backfill(10)
    while backfill.step(world.epoch):
        pass
    world.drain()
    assert len(world.events()) == 4


def test_a_number_that_an_outbox_gives_again_is_another_fact(world: World) -> None:
    world.skip_backfill()
    world.legacy.run(outbox(1, of=1), "DELETE FROM OUTBOX")
    world.drain()
    world.legacy.run(
        "INSERT INTO OUTBOX VALUES ('1', 'policy', 'P0001', 'HoldReleaseConfirmed', '{\"hold\": 7}')"
    )
    world.drain(world.translation())
    assert len(world.events()) == 2


def read_all(world: World) -> None:
    work = world.backfill(10)
    while work.step(world.epoch) is not None:
        pass


def test_a_row_that_was_deleted_while_nothing_was_captured_goes_once_it_came_and_went_again(
    world: World,
) -> None:
    """No event ends it; what is read again finds what is there."""
    world.legacy.run(policy(1), policy(2))
    read_all(world)
    world.capture.remove(world.capture.plan(TABLES))
    world.legacy.run("DELETE FROM POLMAST WHERE POL_NO = 'P0001   '")
    world.legacy.install()
    read_all(world)
    assert world.folded().keys() - world.stored().keys() == {"P0001"}
    world.legacy.run(policy(1))
    world.legacy.run("DELETE FROM POLMAST WHERE POL_NO = 'P0001   '")
    world.drain()
    assert world.folded() == world.stored()
