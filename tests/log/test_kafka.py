"""What is Kafka's own: retention, refused records, a broker that is away, what others write into the topic."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from confluent_kafka import Consumer as Plain
from confluent_kafka import Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource

from adapters.log import kafka
from adapters.log.kafka import KafkaLog
from tests.servers.process import free_port
from tests.support.state import START, records
from tests.support.waiting import wait_until
from toolkit.core.cloudevents import of_record, to_json
from toolkit.core.cloudevents import size as record_size
from toolkit.core.errors import Infrastructure, OffsetLost
from toolkit.core.records import Delivery, Draft, Malformed, Record, Watermark
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
        # As it was a moment ago.
        patch.setattr(consumer, "_bounds_of", lambda asked: dict.fromkeys(asked, (0, 20)))
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
    acknowledged = {run.partition: run.last for run in publisher.publish(broken)}
    assert acknowledged == {0: 1, 1: 40 - len(first)}, "of a few, where is asked"
    assert log.bounds(topic_name)[0] == (0, 3)
    # What is not known to be there comes again; from now on, each one's place is asked for.
    again = publisher.publish([*first[1:3], huge])
    assert {run.partition: run.last for run in again} == {0: huge.sequence - 1}
    with pytest.raises(Infrastructure, match=rf"did not take event {huge.envelope.id}: .*too large"):
        publisher.publish([huge])
    publisher.publish(first[3:])
    publisher.close()
    consumer = log.consumer()
    consumer.assign({(topic_name, 0): 0})
    came = [one.content.sequence for one in take(consumer, len(first) + 2) if isinstance(one.content, Record)]
    assert came == [1, 2, 3, *[record.sequence for record in first[1:]]]
    consumer.close()


def test_beside_another_writer_only_what_certainly_is_in_the_log_is_acknowledged(
    log: KafkaLog, kafka_bootstrap: str, topic_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its messages stand between ours, so that the places of the first and the last do not tell those between."""
    publisher, given = log.publisher(topic_name), records(range(12), 1)
    stranger = Producer({"bootstrap.servers": kafka_bootstrap})
    told = publisher._produce

    def beside(producer: Producer, message: Any, *rest: Any) -> str:
        why = told(producer, message, *rest)
        producer.flush(20)
        stranger.produce(topic_name, b"between", partition=0)
        stranger.flush(20)
        return why

    with monkeypatch.context() as patch:
        patch.setattr(publisher, "_produce", beside)
        (first,) = publisher.publish(given)
    assert (first.sequence, first.count) == (1, 1)
    runs = publisher.publish(given[1:])
    assert sum(run.count for run in runs) == len(given) - 1
    publisher.close()
    consumer = log.consumer()
    consumer.assign({(topic_name, 0): 0})
    stands = {
        one.at.offset: one.content.sequence for one in take(consumer, 35) if isinstance(one.content, Record)
    }
    for run in (first, *runs):
        for at in range(run.count):
            assert stands[run.offset + at] == run.sequence + at
    consumer.close()


def test_many_records_stand_where_their_runs_say(log: KafkaLog, topic_name: str) -> None:
    publisher, given = log.publisher(topic_name), records(range(5_000), 2)
    found = [*publisher.publish(given[:2_500]), *publisher.publish(given[2_500:])]
    publisher.close()
    places = {(run.partition, run.sequence + at): run.offset + at for run in found for at in range(run.count)}
    consumer = log.consumer()
    consumer.assign({(topic_name, 0): 0, (topic_name, 1): 0})
    came = take(consumer, len(given))
    consumer.close()
    stands = {
        (one.at.partition, one.content.sequence): one.at.offset
        for one in came
        if isinstance(one.content, Record)
    }
    assert places == stands
    assert len(stands) == len(given)


@pytest.fixture
def narrow(log: KafkaLog, kafka_bootstrap: str, topic_name: str) -> str:
    """A topic that takes no more than 3,000 bytes at once."""
    admin = AdminClient({"bootstrap.servers": kafka_bootstrap})
    asked = ConfigResource(
        ConfigResource.Type.TOPIC,
        topic_name,
        incremental_configs=[
            ConfigEntry("max.message.bytes", "3000", incremental_operation=AlterConfigOpType.SET)
        ],
    )
    for future in admin.incremental_alter_configs([asked]).values():
        future.result()
    wait_until(lambda: (log.largest(topic_name) or 0) < 3000, 30)
    return topic_name


def sized(record: Record, size: int) -> Record:
    """The record with just so many bytes on the whole."""
    draft = Draft(envelope=record.envelope, data=b'""')
    return msgspec.structs.replace(record, data=b'"%s"' % (b"x" * (size - record_size(draft))))


@pytest.mark.parametrize("structured", [True, False], ids=["structured", "binary"])
def test_the_largest_record_that_is_promised_is_taken_and_many_small_ones_at_once(
    log: KafkaLog, kafka_bootstrap: str, narrow: str, structured: bool
) -> None:
    writing = KafkaLog(kafka_bootstrap, structured=structured)
    largest = writing.largest(narrow)
    assert largest is not None
    given = records(range(300), 2)
    given[7] = sized(given[7], largest)
    publisher = writing.publisher(narrow)
    assert sum(run.count for run in publisher.publish(given)) == len(given)
    publisher.close()


def test_a_topic_that_nobody_changed_takes_what_kafka_takes(log: KafkaLog, topic_name: str) -> None:
    assert log.largest(topic_name) == 1_048_588 - 512


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


def first_message(bootstrap: str, topic: str) -> Message:
    """As anybody reads it."""
    plain = Plain({"bootstrap.servers": bootstrap, "group.id": "anybody"})
    plain.assign([TopicPartition(topic, 0, 0)])
    message = plain.poll(20)
    plain.close()
    assert message is not None
    return message


@pytest.mark.parametrize("structured", [True, False], ids=["structured", "binary"])
def test_both_content_modes_say_the_same(
    log: KafkaLog, kafka_bootstrap: str, topic_name: str, structured: bool
) -> None:
    writing = KafkaLog(kafka_bootstrap, structured=structured)
    publisher, given = writing.publisher(topic_name), records(range(9), 2)
    publisher.publish(given)
    publisher.close()
    consumer = log.consumer()
    consumer.assign({(topic_name, 0): 0, (topic_name, 1): 0})
    came = [one.content for one in take(consumer, len(given)) if isinstance(one.content, Record)]
    consumer.close()
    assert sorted(came, key=lambda one: one.envelope.position) == given


def test_a_message_is_one_document_under_the_subject_as_its_key(
    log: KafkaLog, kafka_bootstrap: str, topic_name: str
) -> None:
    publisher = log.publisher(topic_name)
    (record,) = records(range(1), 1)
    publisher.publish([record])
    publisher.close()
    message = first_message(kafka_bootstrap, topic_name)
    assert message.key() == b"P-0"
    assert message.headers() == [("content-type", b"application/cloudevents+json")]
    assert msgspec.json.decode(message.value() or b"") == msgspec.json.decode(to_json(of_record(record)))


def test_in_binary_mode_the_data_is_the_value_and_attributes_are_headers(
    log: KafkaLog, kafka_bootstrap: str, topic_name: str
) -> None:
    publisher = KafkaLog(kafka_bootstrap, structured=False).publisher(topic_name)
    (record,) = records(range(1), 1)
    publisher.publish([record])
    publisher.close()
    message = first_message(kafka_bootstrap, topic_name)
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
