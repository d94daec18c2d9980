"""Kafka's own retention: a rebuild from it is promised only while it has all, and who was overtaken is told."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from adapters.log.kafka import KafkaLog
from adapters.read_store.sql import open_read_store
from adapters.state.store import open_state
from migrations.schema.read_store import metadata as store_tables
from migrations.schema.state import metadata as state_tables
from tests.retention.world import NOW, POLICY, POLICY_V2, World, issued
from tests.support.waiting import wait_until
from toolkit.core.errors import OffsetLost, Refused
from toolkit.loops.history import Origin
from toolkit.loops.prune import Limits


@pytest.fixture
def world(kafka_bootstrap: str, topic_name: str, tmp_path: Path) -> Iterator[World]:
    url = f"sqlite:///{tmp_path}/all.db"
    state, store, log = open_state(url), open_read_store(url), KafkaLog(kafka_bootstrap)
    state_tables.create_all(state.engine)
    store_tables.create_all(store.engine)
    world = World(state, log, store, topic=topic_name, patience=0.2)
    world.lead()
    yield world
    for one in world.running.values():
        one.close()
    log.close()
    store.close()
    state.close()


@pytest.fixture
def flowing(world: World) -> World:
    world.happen(*(issued(number) for number in range(12)))
    world.publish()
    wait_until(lambda: _caught_up(world), timeout=60, every=0, what="the view to have all that was published")
    return world


def _caught_up(world: World) -> bool:
    world.advance(POLICY)
    return len(world.rows(POLICY)) == 12 and all(one.as_of for one in world.projector(POLICY).checkpoints)


def delete(world: World, bootstrap: str, before: int) -> None:
    """As retention does it: all records before an offset, in every partition."""
    ends = {number: end for number, (_, end) in world.log.bounds(world.topic).items()}
    given = [TopicPartition(world.topic, number, min(before, end)) for number, end in ends.items()]
    admin = AdminClient({"bootstrap.servers": bootstrap})  # which has to outlive its futures
    for future in admin.delete_records(given).values():
        future.result(timeout=30)


def test_a_rebuild_from_the_log_where_the_archive_has_no_beginning(flowing: World) -> None:
    flowing.pruning().run(Limits(archive=NOW), ["policy_view"])
    with pytest.raises(Refused, match=r"(?s)cannot be rebuilt from the archive.*--from log"):
        flowing.rebuild(POLICY_V2).run()
    assert flowing.rebuild(POLICY_V2, origin=Origin.LOG).run().events == 12
    assert flowing.rows(POLICY_V2) == flowing.told(POLICY_V2)


def test_a_log_whose_first_event_is_gone_is_no_history(flowing: World, kafka_bootstrap: str) -> None:
    delete(flowing, kafka_bootstrap, 1)
    with pytest.raises(
        Refused, match=r"(?s)stood at offset 0, and the log begins with offset 1.*--from archive"
    ):
        flowing.rebuild(POLICY_V2, origin=Origin.LOG).run()
    assert flowing.rebuild(POLICY_V2).run().events == 12


def test_a_projector_that_is_overtaken_names_the_version_to_rebuild(
    flowing: World, kafka_bootstrap: str
) -> None:
    flowing.running.pop(POLICY.identity).close()
    flowing.happen(*(issued(number) for number in range(20, 40)))
    flowing.publish()
    delete(flowing, kafka_bootstrap, 12)
    with pytest.raises(
        OffsetLost, match=r"policy_view v1 stands still.*`strangler rebuild policy_view --version 2`"
    ):
        flowing.projector(POLICY)


def test_the_log_of_somebody_else_is_not_pruned_by_us(flowing: World) -> None:
    assert flowing.pruning().plan(Limits(log=NOW)).records == ()
