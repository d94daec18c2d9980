"""What every log promises, asked of each: the embedded one on SQLite and PostgreSQL, and Apache Kafka."""

import datetime as dt

import pytest

from tests.support.state import SECOND, START, records
from toolkit.core.errors import OffsetLost, ProjectError, UsageError
from toolkit.core.records import Delivery, Record, Watermark
from toolkit.ports import Consumer, Log

PARTITIONS = 3
SHORT = dt.timedelta(milliseconds=100)
LONG = dt.timedelta(seconds=20)


@pytest.fixture
def topic(log: Log, topic_name: str) -> str:
    log.create(topic_name, PARTITIONS)
    return topic_name


def publish(log: Log, topic: str, given: list[Record]) -> None:
    publisher = log.publisher(topic)
    assert sum(run.count for run in publisher.publish(given)) == len(given)
    publisher.close()


def from_start(topic: str) -> dict[tuple[str, int], int]:
    return {(topic, partition): 0 for partition in range(PARTITIONS)}


def take(consumer: Consumer, count: int, limit: int = 100) -> list[Delivery]:
    """Just so many deliveries; fewer when they do not come."""
    found: list[Delivery] = []
    while len(found) < count and (more := consumer.poll(limit, LONG)):
        found.extend(more)
    return found


def events(found: list[Delivery]) -> dict[int, list[Record]]:
    by_partition: dict[int, list[Record]] = {}
    for one in found:
        if isinstance(one.content, Record):
            by_partition.setdefault(one.at.partition, []).append(one.content)
    return by_partition


def marks(found: list[Delivery]) -> dict[int, Watermark]:
    return {one.at.partition: one.content for one in found if isinstance(one.content, Watermark)}


def test_events_come_back_whole_and_in_the_order_of_their_partition(log: Log, topic: str) -> None:
    given = records(range(200), PARTITIONS)
    publish(log, topic, given)
    consumer = log.consumer()
    consumer.assign(from_start(topic))
    found = take(consumer, 200, limit=17)
    assert events(found) == {
        partition: [record for record in given if record.partition == partition]
        for partition in {record.partition for record in given}
    }
    consumer.close()


def test_the_coordinates_acknowledged_are_where_the_events_are_found(log: Log, topic: str) -> None:
    publisher = log.publisher(topic)
    given = records(range(30), PARTITIONS)
    runs = publisher.publish(given[:20])
    publisher.watermark({n: Watermark(as_of=START, sequence=0) for n in range(PARTITIONS)})
    runs += publisher.publish(given[20:])
    publisher.close()
    consumer = log.consumer()
    consumer.assign(from_start(topic))
    found = take(consumer, 30 + PARTITIONS)
    consumer.close()
    assert {
        (one.at.partition, one.content.sequence): one.at.offset
        for one in found
        if isinstance(one.content, Record)
    } == {
        (run.partition, run.sequence + number): run.offset + number
        for run in runs
        for number in range(run.count)
    }


def test_publishing_nothing_is_nothing(log: Log, topic: str) -> None:
    publish(log, topic, [])
    assert log.bounds(topic) == dict.fromkeys(range(PARTITIONS), (0, 0))


def test_a_watermark_reaches_every_partition_also_those_without_an_event(log: Log, topic: str) -> None:
    publisher = log.publisher(topic)
    given = records(range(10), PARTITIONS, subjects=1)
    publisher.publish(given)
    sent = {partition: Watermark(as_of=START, sequence=0) for partition in range(PARTITIONS)}
    sent[given[0].partition] = Watermark(as_of=START, sequence=10)
    publisher.watermark(sent)
    publisher.close()
    consumer = log.consumer()
    consumer.assign(from_start(topic))
    found = take(consumer, 10 + PARTITIONS)
    consumer.close()
    assert marks(found) == sent
    own = [one.content for one in found if one.at.partition == given[0].partition]
    assert isinstance(own[-1], Watermark), "the watermark comes after the events it speaks of"


def test_the_position_after_any_delivery_is_its_offset_and_one(log: Log, topic: str) -> None:
    publisher = log.publisher(topic)
    given = records(range(40), PARTITIONS)
    publisher.publish(given[:20])
    publisher.watermark({n: Watermark(as_of=START, sequence=0) for n in range(PARTITIONS)})
    consumer = log.consumer()
    consumer.assign(from_start(topic))
    seen = take(consumer, 20 + PARTITIONS, limit=3)
    publisher.publish(given[20:])
    publisher.close()
    position = {(topic, one.at.partition): one.at.offset + 1 for one in seen}
    resumed = log.consumer()
    resumed.assign(from_start(topic) | position)
    found = take(resumed, 20)
    both = [one.content.envelope.id for one in seen + found if isinstance(one.content, Record)]
    assert sorted(both) == sorted(record.envelope.id for record in given)
    consumer.close()
    resumed.close()


def test_reading_starts_at_any_offset(log: Log, topic: str) -> None:
    given = records(range(60), PARTITIONS)
    publish(log, topic, given)
    for skipped in (0, 1, 7):
        consumer = log.consumer()
        consumer.assign(dict.fromkeys(from_start(topic), skipped))
        found = events(take(consumer, 60 - skipped * PARTITIONS, limit=10))
        consumer.close()
        assert {partition: [record.sequence for record in held] for partition, held in found.items()} == {
            partition: list(range(skipped + 1, end + 1)) for partition, (_, end) in log.bounds(topic).items()
        }


def test_publishing_again_gives_duplicates_with_the_same_ids_and_sequences(log: Log, topic: str) -> None:
    given = records(range(20), PARTITIONS)
    publish(log, topic, given)
    publish(log, topic, given[10:])
    consumer = log.consumer()
    consumer.assign(from_start(topic))
    found = take(consumer, 30)
    consumer.close()
    contents = [one.content for one in found if isinstance(one.content, Record)]
    assert len(contents) == 30
    assert {record.envelope.id: record for record in contents} == {
        record.envelope.id: record for record in given
    }


def test_an_idle_topic_gives_nothing_and_then_every_watermark_of_a_living_relay(log: Log, topic: str) -> None:
    publisher = log.publisher(topic)
    consumer = log.consumer()
    consumer.assign(from_start(topic))
    assert consumer.poll(100, SHORT) == []
    for second in range(3):
        mark = Watermark(as_of=START + second * SECOND, sequence=0)
        publisher.watermark(dict.fromkeys(range(PARTITIONS), mark))
        assert marks(take(consumer, PARTITIONS)) == dict.fromkeys(range(PARTITIONS), mark)
    assert consumer.poll(100, SHORT) == []
    publisher.close()
    consumer.close()


def test_a_watermark_never_comes_before_an_event_that_it_covers(log: Log, topic: str) -> None:
    publisher = log.publisher(topic)
    given = records(range(90), PARTITIONS)
    last: dict[int, int] = dict.fromkeys(range(PARTITIONS), 0)
    for batch in range(9):
        for record in given[batch * 10 : batch * 10 + 10]:
            last[record.partition] = record.sequence
        publisher.publish(given[batch * 10 : batch * 10 + 10])
        publisher.watermark(
            {n: Watermark(as_of=START + batch * SECOND, sequence=last[n]) for n in range(PARTITIONS)}
        )
    publisher.close()
    consumer = log.consumer()
    consumer.assign(from_start(topic))
    seen: dict[int, int] = dict.fromkeys(range(PARTITIONS), 0)
    finished: set[int] = set()
    while len(finished) < PARTITIONS:
        for one in consumer.poll(4, LONG):
            if isinstance(one.content, Record):
                seen[one.at.partition] = one.content.sequence
            elif isinstance(one.content, Watermark):
                assert one.content.sequence <= seen[one.at.partition]
                if one.content.as_of == START + 8 * SECOND:
                    finished.add(one.at.partition)
    consumer.close()
    assert seen == last


def test_bounds_tell_the_first_offset_and_the_next(log: Log, topic: str) -> None:
    given = records(range(50), PARTITIONS)
    publish(log, topic, given)
    assert log.bounds(topic) == {
        partition: (0, sum(record.partition == partition for record in given))
        for partition in range(PARTITIONS)
    }


def test_an_offset_that_the_log_does_not_hold_is_refused_with_the_way_out(log: Log, topic: str) -> None:
    consumer = log.consumer()
    with pytest.raises(OffsetLost, match=r"the log ends before it.*strangler rebuild"):
        consumer.assign({(topic, 0): 7})
    consumer.close()


def test_creating_again_is_harmless_and_another_number_of_partitions_is_refused(log: Log, topic: str) -> None:
    log.create(topic, PARTITIONS)
    assert log.partitions(topic) == PARTITIONS
    with pytest.raises(ProjectError, match=r"log.partitions: the project asks for 5, but topic .* has 3"):
        log.create(topic, 5)


def test_a_topic_that_does_not_exist_is_named(log: Log, topic_name: str) -> None:
    with pytest.raises(UsageError, match=topic_name):
        log.partitions(topic_name)


def test_a_consumer_that_lags_under_steady_load_still_gets_watermarks(log: Log, topic_name: str) -> None:
    log.create(topic_name, 1)
    publisher = log.publisher(topic_name)
    consumer = log.consumer()
    consumer.assign({(topic_name, 0): 0})
    given = records(range(90), 1)
    came: list[Watermark] = []
    for batch in range(30):
        publisher.publish(given[batch * 3 : batch * 3 + 3])
        publisher.watermark({0: Watermark(as_of=START + batch * SECOND, sequence=batch * 3 + 3)})
        came.extend(one.content for one in consumer.poll(2, LONG) if isinstance(one.content, Watermark))
    assert len(came) >= 3
    assert [mark.as_of for mark in came] == sorted({mark.as_of for mark in came})
    publisher.close()
    consumer.close()
