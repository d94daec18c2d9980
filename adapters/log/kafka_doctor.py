"""What ails a topic in Kafka: its replicas, how long and how it keeps events, and what the brokers make up unasked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from toolkit.core.ailments import Ailment, Severity
from toolkit.core.errors import Infrastructure, UsageError
from toolkit.diagnosis import Check, Patient

_MESSAGE = 1_000_000
"""Bytes of a message that librdkafka sends unless `message.max.bytes` says otherwise."""
_SHORT = 24 * 3600 * 1000
"""A consumer that is stopped on Friday should find its events on Monday; a day is the least."""


class Topic(msgspec.Struct, frozen=True, kw_only=True):
    """A topic as the brokers describe it: replicas and those in sync by partition, and its settings."""

    name: str
    replicas: Sequence[int]
    in_sync: Sequence[int]
    leaderless: int
    settings: Mapping[str, str]

    def number(self, setting: str, default: int) -> int:
        """A setting that is a number."""
        return int(self.settings.get(setting) or default)


class KafkaDoctor:
    """Implements `toolkit.diagnosis.Diagnosis` with the admin client of a log."""

    def __init__(self, admin: AdminClient, sent: Mapping[str, str], answer: float) -> None:
        self._admin, self._sent, self._answer = admin, sent, answer

    def checks(self, patient: Patient) -> Sequence[Check]:
        """The brokers, and each topic of `patient.own`."""
        needs = "ACL: DescribeConfigs on the topics and on the cluster"
        found = [Check(where=patient.where, name="brokers", ask=self._brokers, needs=needs)]
        for name in patient.own:
            ask = partial(self._topic, name)
            found.append(Check(where=patient.where, name=f"settings of {name}", ask=ask, needs=needs))
        return found

    def _brokers(self) -> Iterator[Ailment]:
        try:
            metadata = self._admin.list_topics(timeout=self._answer)
        except KafkaException as error:
            raise Infrastructure(f"Kafka does not answer: {error.args[0]}") from error
        for number in sorted(metadata.brokers)[:1]:
            yield from brokers(self._settings(ResourceType.BROKER, str(number)))

    def _topic(self, name: str) -> Iterator[Ailment]:
        futures = self._admin.describe_topics(TopicCollection([name]), request_timeout=self._answer)
        try:
            found = futures[name].result()
        except KafkaException as error:
            if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                return  # whoever compares topics with the project says so
            raise Infrastructure(f"Kafka does not describe {name}: {error.args[0]}") from error
        parts = found.partitions
        topic = Topic(
            name=name,
            replicas=[len(one.replicas) for one in parts],
            in_sync=[len(one.isr) for one in parts],
            leaderless=sum(one.leader is None or one.leader.id < 0 for one in parts),
            settings=self._settings(ResourceType.TOPIC, name),
        )
        yield from ailments(topic, self._sent)

    def _settings(self, kind: Any, name: str) -> dict[str, str]:
        resource = ConfigResource(kind, name)
        future = self._admin.describe_configs([resource], request_timeout=self._answer)[resource]
        try:
            found = future.result()
        except KafkaException as error:
            raise UsageError(f"Kafka does not tell the settings of {name}: {error.args[0]}") from error
        return {one.name: one.value for one in found.values() if one.value is not None}


def ailments(topic: Topic, sent: Mapping[str, str]) -> Iterator[Ailment]:
    """All of it; `sent` are the settings that our producer is given."""
    yield from _replicas(topic)
    yield from _keeping(topic)
    largest = int(sent.get("message.max.bytes", _MESSAGE))
    if topic.number("max.message.bytes", largest) < largest:
        yield _told(
            topic,
            f"it takes messages of {topic.number('max.message.bytes', 0)} bytes, and we may send {largest}: a larger event "
            "stops its partition",
            f"kafka-configs --alter --topic {topic.name} --add-config max.message.bytes={largest}",
            Severity.RISK,
            **{"max.message.bytes": topic.number("max.message.bytes", 0), "message.max.bytes": largest},
        )


def _replicas(topic: Topic) -> Iterator[Ailment]:
    figures = {
        "replicas": min(topic.replicas, default=0),
        "in_sync": min(topic.in_sync, default=0),
        "leaderless": topic.leaderless,
    }
    if topic.leaderless:
        yield _told(
            topic,
            f"{topic.leaderless} of its partitions have no leader: nothing can be read or written there",
            "start the brokers that hold them",
            Severity.BROKEN,
            **figures,
        )
    if any(now < all_ for now, all_ in zip(topic.in_sync, topic.replicas, strict=True)):
        yield _told(
            topic,
            "some replicas are not in sync",
            "kafka-topics --describe --under-replicated-partitions",
            Severity.RISK,
            **figures,
        )
    yield from _safety(topic)


def _safety(topic: Topic) -> Iterator[Ailment]:
    least, wanted = min(topic.replicas, default=0), topic.number("min.insync.replicas", 1)
    figures = {"replicas": least, "min.insync.replicas": wanted}
    if least == 1:
        yield _told(
            topic,
            "it has one replica: what a broker's disk loses is lost from the log (the archive has it still)",
            "kafka-reassign-partitions to three replicas, with min.insync.replicas=2; and log.replication = 3",
            Severity.RISK,
            **figures,
        )
    elif wanted <= 1:
        yield _told(
            topic,
            "min.insync.replicas is 1: an acknowledged event may be on one disk only",
            f"kafka-configs --alter --topic {topic.name} --add-config min.insync.replicas=2",
            Severity.RISK,
            **figures,
        )
    elif wanted >= least:
        yield _told(
            topic,
            "min.insync.replicas is as high as the number of replicas: one broker that restarts stops the relay",
            f"kafka-configs --alter --topic {topic.name} --add-config min.insync.replicas={least - 1}",
            Severity.RISK,
            **figures,
        )


def _keeping(topic: Topic) -> Iterator[Ailment]:
    policy = topic.settings.get("cleanup.policy", "delete")
    if "compact" in policy:
        yield _told(
            topic,
            "it is compacted: of each subject only the last event would be left",
            f"kafka-configs --alter --topic {topic.name} --add-config cleanup.policy=delete",
            Severity.BROKEN,
            **{"cleanup.policy": policy},
        )
    kept = topic.number("retention.ms", -1)
    if 0 <= kept < _SHORT:
        yield _told(
            topic,
            f"it keeps events for {kept / 3_600_000:.1f} hours: a projector that stands still for longer must be rebuilt",
            f"kafka-configs --alter --topic {topic.name} --add-config retention.ms=604800000",
            Severity.RISK,
            **{"retention.ms": kept},
        )
    if topic.number("retention.bytes", -1) >= 0:
        yield _told(
            topic,
            "it drops events by size: how long they are kept depends on how much is written",
            f"kafka-configs --alter --topic {topic.name} --delete-config retention.bytes",
            Severity.HINT,
            **{"retention.bytes": topic.number("retention.bytes", -1)},
        )


def brokers(settings: Mapping[str, str]) -> Iterator[Ailment]:
    """What the brokers make up when they are asked for a topic that is not there."""
    if settings.get("auto.create.topics.enable") == "true":
        yield Ailment(
            where="log",
            what="the brokers make topics that they are asked for: a wrong name gets a topic of its own, with the cluster's "
            "defaults instead of the project's",
            next="auto.create.topics.enable=false on the brokers; make topics with strangler setup",
            severity=Severity.HINT,
            evidence={"auto.create.topics.enable": "true"},
        )


def _told(topic: Topic, what: str, next_: str, severity: Severity, **evidence: str | int) -> Ailment:
    return Ailment(
        where=f"topic {topic.name}", what=what, next=next_, severity=severity, evidence=dict(evidence)
    )
