"""What is Kafka's own: retention, refused records, a broker that is away, what others write into the topic."""

import datetime as dt
from collections.abc import Iterator

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from adapters.log import kafka
from adapters.log.kafka import KafkaLog
from tests.servers.process import free_port
from tests.support.state import START, records
from toolkit.core.errors import Infrastructure, OffsetLost
from toolkit.core.records import Delivery, Malformed, Record, Watermark
from toolkit.ports import Consumer
from toolkit.settings import LogSection

LONG = dt.timedelta(seconds=20)


@pytest.fixture
def log(kafka_bootstrap: str, topic_name: str) -> Iterator[KafkaLog]:
    opened = KafkaLog(kafka_bootstrap)
    opened.create(topic_name, 2)
    yield opened
    opened.close()


def take(consumer: Consumer, count: int) -> list[Delivery]:
    found: list[Delivery] = []
    while len(found) < count and (more := consumer.poll(100, LONG)):
        found.extend(more)
    return found


def test_what_retention_removed_is_refused_with_the_way_out(
    log: KafkaLog, kafka_bootstrap: str, topic_name: str
) -> None:
    publisher = log.publisher(topic_name)
    publisher.publish(records(range(20), 1))
    publisher.close()
    reading = log.consumer()
    reading.assign({(topic_name, 0): 0})
    admin = AdminClient({"bootstrap.servers": kafka_bootstrap})
    for future in admin.delete_records([TopicPartition(topic_name, 0, 12)]).values():
        future.result()
    assert log.bounds(topic_name)[0] == (12, 20)
    late = log.consumer()
    with pytest.raises(OffsetLost, match=r"offset 5 .* holds 12 to 20 .*retention.*strangler rebuild"):
        late.assign({(topic_name, 0): 5})
    late.assign({(topic_name, 0): 12})
    assert [one.at.offset for one in take(late, 8)] == list(range(12, 20))
    late.close()
    reading.close()


def test_retention_that_overtakes_a_reader_is_noticed_while_it_reads(
    log: KafkaLog, kafka_bootstrap: str, topic_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher = log.publisher(topic_name)
    publisher.publish(records(range(20), 1))
    publisher.close()
    consumer = log.consumer()
    admin = AdminClient({"bootstrap.servers": kafka_bootstrap})
    for future in admin.delete_records([TopicPartition(topic_name, 0, 12)]).values():
        future.result()
    with monkeypatch.context() as patch:
        patch.setattr(log, "bounds_of", lambda asked: dict.fromkeys(asked, (0, 20)))  # as it was a moment ago
        consumer.assign({(topic_name, 0): 5})
    with pytest.raises(OffsetLost, match=r"offset 5 .* holds 12 to 20"):
        take(consumer, 1)
    consumer.close()


def test_behind_a_record_that_the_log_refuses_nothing_of_its_partition_is_written(
    log: KafkaLog, topic_name: str
) -> None:
    given = records(range(40), 2)
    first = [record for record in given if record.partition == 0]
    huge = Record(
        envelope=first[3].envelope, data=b'"%s"' % (b"x" * 2_000_000), partition=0, sequence=first[3].sequence
    )
    broken = [huge if record == first[3] else record for record in given]
    publisher = log.publisher(topic_name)
    acknowledged = publisher.publish(broken)
    assert {run.partition: run.last for run in acknowledged} == {0: huge.sequence - 1, 1: 40 - len(first)}
    assert log.bounds(topic_name)[0] == (0, 3)
    with pytest.raises(Infrastructure, match=rf"did not take event {huge.envelope.id}: .*too large"):
        publisher.publish([huge])
    publisher.publish(first[3:])
    publisher.close()
    consumer = log.consumer()
    consumer.assign({(topic_name, 0): 0})
    came = [one.content.sequence for one in take(consumer, len(first)) if isinstance(one.content, Record)]
    assert came == [record.sequence for record in first]
    consumer.close()


def test_what_others_write_into_the_topic_is_delivered_with_its_reason_and_its_place(
    log: KafkaLog, kafka_bootstrap: str, topic_name: str
) -> None:
    stranger = Producer({"bootstrap.servers": kafka_bootstrap})
    stranger.produce(topic_name, b"hello", partition=0)
    stranger.produce(topic_name, None, b"P-1", partition=0)
    stranger.flush(20)
    consumer = log.consumer()
    consumer.assign({(topic_name, 0): 0})
    first, second = take(consumer, 2)
    assert isinstance(first.content, Malformed)
    assert (first.content.raw, first.at.offset) == (b"hello", 0)
    assert isinstance(second.content, Malformed)
    assert second.at.offset == 1
    consumer.close()


def test_subject_is_the_key_and_attributes_are_headers_for_anybody_who_reads(
    log: KafkaLog, kafka_bootstrap: str, topic_name: str
) -> None:
    publisher = log.publisher(topic_name)
    (record,) = records(range(1), 1)
    publisher.publish([record])
    publisher.close()
    from confluent_kafka import Consumer as Plain

    plain = Plain({"bootstrap.servers": kafka_bootstrap, "group.id": "anybody"})
    plain.assign([TopicPartition(topic_name, 0, 0)])
    message = plain.poll(20)
    plain.close()
    assert message is not None
    assert (message.key(), message.value()) == (b"P-0", record.data)
    headers = dict(message.headers() or [])
    assert (headers["ce_type"], headers["content-type"]) == (b"PolicyIssued", b"application/json")


def test_a_broker_that_is_away_is_infrastructure_for_everybody() -> None:
    away = KafkaLog(f"127.0.0.1:{free_port()}", answer=dt.timedelta(seconds=1))
    with pytest.raises(Infrastructure):
        away.partitions("any")
    publisher = away.publisher("any")
    with pytest.raises(Infrastructure, match="did not take event"):
        publisher.publish(records(range(3), 1))
    with pytest.raises(Infrastructure, match="did not take a watermark"):
        publisher.watermark({0: Watermark(as_of=START, sequence=0)})
    publisher.close()
    consumer = away.consumer()
    with pytest.raises(Infrastructure):
        consumer.assign({("any", 0): 0})
    consumer.close()


def test_the_settings_of_the_project_reach_the_driver() -> None:
    section = LogSection(url="kafka://127.0.0.1:1", settings={"no.such.setting": "1"})
    with pytest.raises(Infrastructure, match=r"\[log.settings\] are refused.*no.such.setting"):
        kafka.open(section, "")
