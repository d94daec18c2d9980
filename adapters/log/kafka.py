"""Apache Kafka as the log: explicit partitions, acknowledged by all replicas, read by assigned offsets.

Where a projection stands is written beside its rows, and nowhere else: a consumer group, where there is one, only divides.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Collection, Mapping, Sequence

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import NewTopic

from adapters.kafka import SLICE, Cluster, Partition, driver_errors, result
from adapters.log.kafka_consumer import KafkaConsumer
from adapters.log.kafka_doctor import KafkaDoctor
from adapters.log.kafka_member import GroupProtocol, KafkaMember
from adapters.log.kafka_publisher import USUAL, KafkaPublisher
from adapters.log.topics import no_topic, other_partitions
from toolkit.core.errors import Infrastructure
from toolkit.diagnosis import Check, Patient
from toolkit.ports import Holder
from toolkit.settings import LogSection

_log = logging.getLogger("strangler.log")

ANSWER = dt.timedelta(seconds=30)
"""How long a request may take, and how long a record may wait for its acknowledgement."""
_AROUND = 512
"""Bytes that Kafka writes around a record that stands alone in its batch; far less in truth."""


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
        return (self._limit(topic) or USUAL) - _AROUND

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
