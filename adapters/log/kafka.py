"""Apache Kafka as the log: explicit partitions, acknowledged by all replicas, read by assigned offsets.

Where a projection stands is written beside its rows, and nowhere else: a consumer group, where there is one, only divides.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import NewTopic

from adapters.kafka import SLICE, Cluster, Partition, driver_errors, quiet, result
from adapters.log.kafka_consumer import KafkaConsumer
from adapters.log.kafka_doctor import KafkaDoctor
from adapters.log.kafka_member import GroupProtocol, KafkaMember
from adapters.log.topics import no_topic, other_partitions
from toolkit.core import cloudevents
from toolkit.core.errors import Infrastructure
from toolkit.core.records import Record, Run, Watermark, runs
from toolkit.diagnosis import Check, Patient
from toolkit.ports import Holder
from toolkit.settings import LogSection

_log = logging.getLogger("strangler.log")
_PURGED = (KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT)

ANSWER = dt.timedelta(seconds=30)
"""How long a request may take, and how long a record may wait for its acknowledgement."""
_AROUND = 512
"""Bytes that Kafka writes around a record that stands alone in its batch; far less in truth."""
_USUAL = 1_000_000
"""What the driver sends at most unless it is told otherwise; a little less than Kafka's own limit."""

_Message = tuple[int, bytes | None, Any, bytes]
"""partition, key, headers, value"""


def open(section: LogSection, _state_url: str) -> KafkaLog:  # noqa: A001 - what every adapter's factory is called
    """The log of `kafka://host:port[,host:port]`."""
    bootstrap = section.url.removeprefix("kafka://").rstrip("/")
    return KafkaLog(
        bootstrap,
        section.settings,
        replication=section.replication,
        structured=section.content == "structured",
        protocol=section.group_protocol,
    )


class KafkaLog:
    """Implements `toolkit.ports.Log`. `settings` are librdkafka's, for security and tuning."""

    def __init__(
        self,
        bootstrap: str,
        settings: Mapping[str, str] | None = None,
        *,
        replication: int = 1,
        structured: bool = True,
        protocol: GroupProtocol = "classic",
        answer: dt.timedelta = ANSWER,
    ) -> None:
        self._protocol = protocol
        self._settings = {**(settings or {}), "bootstrap.servers": bootstrap}
        self._replication, self._structured = replication, structured
        self._answer = answer.total_seconds()
        self._cluster = Cluster(self._settings, self._answer, "[log.settings]")

    def create(self, topic: str, partitions: int) -> None:
        """Create the topic, or verify that it has just so many partitions. Raises ProjectError."""
        found = self._find(topic)
        if found is None:
            self._make(topic, partitions)
            found = self._await(topic)
        if found != partitions:
            raise other_partitions(topic, found, partitions)

    def partitions(self, topic: str) -> int:
        """How many partitions has the topic? Raises UsageError when there is none."""
        found = self._find(topic)
        if found is None:
            raise no_topic(topic)
        return found

    def publisher(self, topic: str) -> KafkaPublisher:
        """A writer to one topic."""
        return KafkaPublisher(
            self._settings,
            topic,
            self._answer,
            structured=self._structured,
            limit=lambda: self._limit(topic),
        )

    def consumer(self) -> KafkaConsumer:
        """A reader of any topics."""
        return KafkaConsumer(self._settings, self.bounds_of)

    def member(self, group: str, topics: Collection[str], holder: Holder) -> KafkaMember:
        """A reader of what falls to it among the members of a consumer group."""
        return KafkaMember(self._settings, self.bounds_of, group, topics, holder, protocol=self._protocol)

    def bounds(self, topic: str) -> dict[int, tuple[int, int]]:
        """Partition to (first retained offset, next offset)."""
        asked = [(topic, number) for number in range(self.partitions(topic))]
        return {number: both for (_, number), both in self.bounds_of(asked).items()}

    def bounds_of(self, asked: Sequence[Partition]) -> dict[Partition, tuple[int, int]]:
        """The same for some partitions of any topics."""
        return self._cluster.bounds_of(asked)

    def checks(self, patient: Patient) -> Sequence[Check]:
        """What can be asked of the brokers about the topics."""
        return KafkaDoctor(self._cluster.admin, self._settings, self._answer).checks(patient)

    def largest(self, topic: str) -> int | None:
        """What the topic's max.message.bytes leaves to a record; of the usual one, where we may not ask for it."""
        return (self._limit(topic) or _USUAL) - _AROUND

    def _limit(self, topic: str) -> int | None:
        found = self._cluster.setting(topic, "max.message.bytes")
        return None if found is None else int(found)

    def close(self) -> None:
        """The admin client has no connection to give back; it goes with this object."""

    def _find(self, topic: str) -> int | None:
        """The number of partitions; None when there is no such topic (or not yet)."""
        found = self._cluster.describe(topic)
        return None if found is None else found[1]

    def _make(self, topic: str, partitions: int) -> None:
        new = NewTopic(
            topic,
            num_partitions=partitions,
            replication_factor=self._replication,
            # Compaction would take events of a subject away, whatever the cluster's default is.
            config={"cleanup.policy": "delete"},
        )
        with driver_errors(f"Kafka does not create topic {topic}"):
            try:
                result(self._cluster.admin.create_topics([new], request_timeout=self._answer)[topic])
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise

    def _await(self, topic: str) -> int:
        """A new topic is told to the brokers after it was created: wait until it can be written and read."""
        deadline = time.monotonic() + self._answer
        while time.monotonic() < deadline:
            found = self._find(topic)
            if found is not None:
                try:
                    self.bounds_of([(topic, number) for number in range(found)])
                except Infrastructure:
                    _log.debug("topic %s has no leaders yet", topic)
                else:
                    return found
            time.sleep(SLICE)
        raise Infrastructure(f"topic {topic} was created, but has no leaders after {self._answer:.0f} s")


class _Sent:
    """What became of the messages of a call. An idempotent producer reports those of a partition in their order."""

    def __init__(self) -> None:
        self.offsets: dict[int, list[int]] = defaultdict(list)
        self.refused: dict[int, str] = {}
        self._failed: set[int] = set()
        self.closed = False

    def delivered(self, error: KafkaError | None, message: Message) -> None:
        """The driver's report of one message."""
        partition = message.partition() or 0
        if error is not None:
            self._failed.add(partition)
            if error.code() not in _PURGED:
                self.refused.setdefault(partition, error.str())
        elif partition not in self._failed and not self.closed:
            self.offsets[partition].append(message.offset() or 0)


class KafkaPublisher:
    """Implements `toolkit.ports.Publisher` with an idempotent producer that never leaves a gap."""

    def __init__(
        self,
        settings: Mapping[str, str],
        topic: str,
        answer: float,
        *,
        structured: bool = True,
        limit: Callable[[], int | None] = lambda: None,
    ) -> None:
        self._settings = {
            **settings,
            "acks": "all",
            "enable.idempotence": True,
            # A record that is refused stops all behind it, and none runs out of time before those behind it
            # (we give up on all at once), so a partition has no hole that would be filled out of order.
            "enable.gapless.guarantee": True,
            "message.timeout.ms": 0,
            # Every call ends with a flush, which waits for no more: so batches are as large as they can be.
            "linger.ms": 50,
        }
        self._topic, self._answer = topic, answer
        self._message = _structured if structured else _binary
        self._limit = limit
        self._producer: Producer | None = None

    def publish(self, records: Sequence[Record]) -> list[Run]:
        """Publish in the given order. Raises Infrastructure when not one record was acknowledged."""
        first: dict[int, Record] = {}
        for record in records:
            first.setdefault(record.partition, record)
        sent = self._send(map(self._message, records))
        found = [
            run
            for partition, record in first.items()
            for run in runs(partition, record.sequence, sent.offsets[partition])
        ]
        for partition, reason in sent.refused.items():
            _log.warning(
                "%s", _refusal(self._topic, partition, records, len(sent.offsets[partition]), reason)
            )
        if records and not found:
            partition, reason = next(iter(sent.refused.items()))
            raise Infrastructure(_refusal(self._topic, partition, records, 0, reason))
        return found

    def watermark(self, marks: Mapping[int, Watermark]) -> None:
        """Write a watermark to every partition given. Raises Infrastructure when one was not acknowledged."""
        messages = [
            (partition, None, *cloudevents.to_message(cloudevents.of_watermark(mark, partition)))
            for partition, mark in marks.items()
        ]
        for partition, reason in self._send(messages).refused.items():
            raise Infrastructure(f"{self._topic}[{partition}] did not take a watermark: {reason}")

    def close(self) -> None:
        """Throw away what was not sent: the archive knows that it was not acknowledged."""
        if self._producer is not None:
            self._producer.purge()
            self._producer.flush(self._answer)
            self._producer = None

    def _send(self, messages: Iterable[_Message]) -> _Sent:
        """Produce in order and wait. Each partition ends at its first message that was not acknowledged."""
        sent, given = _Sent(), dict[int, int]()
        deadline = time.monotonic() + self._answer
        producer = self._open()
        for message in messages:
            partition = message[0]
            given[partition] = given.get(partition, 0) + 1
            if partition not in sent.refused and (why := self._produce(producer, message, sent, deadline)):
                sent.refused[partition] = why
        while len(producer) and time.monotonic() < deadline:
            producer.flush(SLICE)
        for partition, count in given.items():
            if len(sent.offsets[partition]) < count:
                sent.refused.setdefault(partition, "no acknowledgement in time")
        if sent.refused:
            # A producer that failed may hold records back, or be dead for good: begin anew.
            sent.closed = True
            self.close()
        return sent

    def _produce(self, producer: Producer, message: _Message, sent: _Sent, deadline: float) -> str:
        """Hand one message to the driver. Returns why it cannot be, or nothing."""
        partition, key, headers, value = message
        while True:
            try:
                producer.produce(
                    self._topic, value, key, partition=partition, headers=headers, on_delivery=sent.delivered
                )
            except BufferError:
                if time.monotonic() >= deadline:
                    return "the producer's queue stays full"
                producer.poll(SLICE)
            except KafkaException as error:
                return str(error.args[0].str())
            else:
                return ""

    def _sizes(self) -> dict[str, Any]:
        """The topic's limit is the driver's, too: it makes batches that the broker takes, however small they have to be."""
        try:
            limit = self._limit()
        except Infrastructure as error:
            _log.debug("%s", error)  # what is published next will tell
            return {}
        return {} if limit is None else {"message.max.bytes": limit, "batch.size": min(limit, _USUAL)}

    def _open(self) -> Producer:
        if self._producer is None:
            with driver_errors("the settings in [log.settings] are refused"):
                self._producer = Producer(quiet(self._sizes() | self._settings))
        return self._producer


def _refusal(topic: str, partition: int, records: Sequence[Record], taken: int, reason: str) -> str:
    here = [record for record in records if record.partition == partition]
    return f"{topic}[{partition}] did not take event {here[taken].envelope.id}: {reason}"


def _structured(record: Record) -> _Message:
    subject = record.envelope.subject.encode()
    return record.partition, subject, cloudevents.STRUCTURED_HEADERS, cloudevents.record_json(record)


def _binary(record: Record) -> _Message:
    if cloudevents.begins_as_ours(record.data):
        return _structured(record)  # whoever reads it would take the data for the event
    headers, value = cloudevents.to_message(cloudevents.of_record(record))
    return record.partition, record.envelope.subject.encode(), headers, value
