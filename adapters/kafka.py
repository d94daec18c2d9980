"""Kafka as its driver is asked, whoever asks: what the cluster says of its topics, and a driver's errors as ours."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, OffsetSpec
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_exponential

from toolkit.core.errors import Infrastructure

_log = logging.getLogger("strangler.log")
# What the driver says of itself: it retries most of what it warns of, and our errors tell the rest.
_driver_log = logging.getLogger("strangler.log.kafka")
_driver_log.setLevel(logging.CRITICAL)

_EARLIEST: OffsetSpec = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
_LATEST: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]

_FORBIDDEN = (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED)
_PASSING = (
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.REPLICA_NOT_AVAILABLE,
    KafkaError.KAFKA_STORAGE_ERROR,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.OFFSET_NOT_AVAILABLE,
)
"""What a broker says while a partition gets another leader, or its own back after an outage: the admin client does not
ask again by itself, as consumers and producers do."""

SLICE = 0.1
"""Longest single wait in the driver, in seconds: a signal is noticed between two of them."""

Partition = tuple[str, int]
BY_POSITION: dict[str, Any] = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "auto.offset.reset": "error",
    "fetch.wait.max.ms": 100,
}
"""How a consumer reads that is told its positions and keeps none in Kafka; a position that is gone is an error."""


class Cluster:
    """A cluster's topics, asked through the admin client. `settings` are librdkafka's, `where` they come from."""

    def __init__(self, settings: Mapping[str, str], answer: float, where: str) -> None:
        self._answer = answer
        with driver_errors(f"the settings in {where} are refused"):
            self.admin = AdminClient(quiet(settings))

    def describe(self, topic: str) -> tuple[str, int] | None:
        """The topic's id and its number of partitions; None when there is no such topic (or not yet)."""
        with driver_errors(f"Kafka does not describe topic {topic}"):
            futures = self.admin.describe_topics(TopicCollection([topic]), request_timeout=self._answer)
            try:
                found = result(futures[topic])
            except KafkaException as error:
                if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                    return None
                raise
        return str(found.topic_id), len(found.partitions)

    def setting(self, topic: str, name: str) -> str | None:
        """What a topic's setting is in effect, whoever has set it; None when we may not ask."""
        asked = ConfigResource(ConfigResource.Type.TOPIC, topic)
        with driver_errors(f"Kafka does not describe the settings of topic {topic}"):
            futures = self.admin.describe_configs([asked], request_timeout=self._answer)
            try:
                return str(result(futures[asked])[name].value)
            except KafkaException as error:
                if error.args[0].code() in _FORBIDDEN:
                    return None
                raise

    def topics(self) -> list[str]:
        """The names of all topics that there are."""
        with driver_errors("Kafka does not list its topics"):
            return sorted(self.admin.list_topics(timeout=self._answer).topics)

    def bounds_of(self, asked: Sequence[Partition]) -> dict[Partition, tuple[int, int]]:
        """Each partition's first retained offset, and its next one."""
        first = self.offsets(asked, _EARLIEST)
        end = self.offsets(asked, _LATEST)
        return {at: (first[at], end[at]) for at in asked}

    def ends_of(self, asked: Sequence[Partition]) -> dict[Partition, int]:
        """Each partition's next offset."""
        return self.offsets(asked, _LATEST)

    def offsets(self, asked: Sequence[Partition], spec: OffsetSpec) -> dict[Partition, int]:
        """The offsets that fit the specification."""
        if not asked:
            return {}
        patiently = Retrying(
            retry=retry_if_exception(_passes),
            stop=stop_after_delay(self._answer),
            wait=wait_exponential(0.1, max=2),
            reraise=True,
        )
        with driver_errors("Kafka does not tell its offsets"):
            return patiently(self._offsets, asked, spec)

    def _offsets(self, asked: Sequence[Partition], spec: OffsetSpec) -> dict[Partition, int]:
        futures = self.admin.list_offsets(
            {TopicPartition(*at): spec for at in asked}, request_timeout=self._answer
        )
        return {(at.topic, at.partition): result(future).offset for at, future in futures.items()}


def quiet(settings: Mapping[str, Any], note: Any = None) -> dict[str, Any]:
    """The driver's own log lines go to a logger that is silent until somebody turns it on."""
    return {**settings, "logger": _driver_log, "error_cb": note or (lambda error: _log.debug("%s", error))}


@contextmanager
def driver_errors(what: str) -> Iterator[None]:
    """Turn the driver's errors into ours."""
    try:
        yield
    except KafkaException as error:
        raise Infrastructure(f"{what}: {error.args[0]}") from error


def _passes(error: BaseException) -> bool:
    return isinstance(error, KafkaException) and error.args[0].code() in _PASSING


def result(future: Future[Any]) -> Any:
    """What the admin client answers."""
    return future.result()
