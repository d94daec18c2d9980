"""A watermark promises that all is in the log: so none is sent while history is missing from it (R1, R3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.support.legacy import TABLES, policy
from tests.translate.domain import TOPIC
from tests.translate.world import NOW, PARTITIONS, World
from toolkit.core.records import Record, Run, Watermark
from toolkit.loops.batches import batches_of
from toolkit.loops.relay import Pace, Relay


class Printed:
    """A log that takes everything."""

    def publish(self, records: Sequence[Record]) -> list[Run]:
        return [
            Run(partition=one.partition, sequence=one.sequence, offset=one.sequence, count=1)
            for one in records
        ]

    def watermark(self, marks: Mapping[int, Watermark]) -> None:
        pass

    def close(self) -> None:
        pass


def relay(world: World) -> Relay:
    translation = world.translation()
    made = Relay(
        world.legacy.source,
        batches_of(translation),
        world.archive,
        world.state.leases,
        Printed(),
        topic=TOPIC,
        partitions=PARTITIONS,
        owner="test",
        clock=lambda: NOW,
        pace=Pace(heartbeat=0),
        complete=translation.complete,
    )
    made.epoch = world.epoch
    return made


def rows_from_before_capture(world: World, count: int) -> None:
    world.legacy.run(*(policy(number) for number in range(1, count + 1)))
    world.capture.mark([one.number for one in world.capture.pending(1000, [])])


def test_an_idle_source_whose_history_was_not_read_promises_nothing(world: World) -> None:
    rows_from_before_capture(world, 4)
    assert relay(world).step().watermark is None
    assert relay(world).drain().watermark is None


def test_a_backfill_that_was_stopped_half_way_promises_nothing_until_it_is_done(world: World) -> None:
    rows_from_before_capture(world, 4)
    world.backfill(2).step(world.epoch)
    assert relay(world).step().watermark is None
    while world.backfill(2).step(world.epoch):
        pass
    assert relay(world).drain().watermark is not None


def test_a_skipped_backfill_promises_what_comes_from_then_on(world: World) -> None:
    rows_from_before_capture(world, 4)
    world.skip_backfill()
    assert relay(world).drain().watermark is not None


def test_capture_that_was_removed_and_installed_again_needs_its_history_again(world: World) -> None:
    world.legacy.run(policy(1))
    while world.backfill(10).step(world.epoch):
        pass
    assert relay(world).drain().watermark is not None
    world.capture.remove(world.capture.plan(TABLES))
    world.legacy.run("UPDATE POLMAST SET STAT_CD = 'C '")  # nobody sees this
    world.legacy.install()
    world.legacy.run("UPDATE POLMAST SET PREM = 7")
    assert relay(world).drain().watermark is None
    assert world.backfill(10).estimate() == 1
    while world.backfill(10).step(world.epoch):
        pass
    assert relay(world).drain().watermark is not None
    assert world.folded() == world.stored()


def test_a_leader_who_knows_that_the_history_is_read_asks_each_time_whether_capture_is_still_the_same(
    world: World,
) -> None:
    world.skip_backfill()
    leader = relay(world)
    assert leader.step().watermark is not None
    world.capture.remove(world.capture.plan(TABLES))
    world.legacy.install()
    assert leader.step().watermark is None


def test_capture_that_is_only_removed_promises_nothing_more(world: World) -> None:
    world.skip_backfill()
    assert world.translation().complete()
    world.capture.remove(world.capture.plan(TABLES))
    assert not world.translation().complete()


def test_a_column_that_is_captured_from_now_on_does_not_ask_for_the_history_again(world: World) -> None:
    world.skip_backfill()
    world.legacy.run("ALTER TABLE POLMAST ADD COLUMN BROKER CHAR(4)")
    world.legacy.install()
    assert world.translation().complete()
