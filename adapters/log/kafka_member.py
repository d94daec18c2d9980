"""A member of a consumer group: Kafka says which partitions it reads, and nobody but the read store from where."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping
from typing import Any, Literal

from confluent_kafka import Consumer, TopicPartition

from adapters.kafka import Partition, driver_errors
from adapters.log.kafka_consumer import Bounds, KafkaConsumer
from toolkit.core.errors import Fenced, StranglerError
from toolkit.core.records import Delivery
from toolkit.ports import Holder

GroupProtocol = Literal["classic", "consumer"]

PROTOCOLS: Mapping[GroupProtocol, Mapping[str, Any]] = {
    # Partitions move one by one: who keeps his reads on while others change hands.
    "classic": {
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": 10_000,
        "heartbeat.interval.ms": 3_000,
    },
    # KIP-848: the broker divides, and knows the timeouts.
    "consumer": {"group.protocol": "consumer"},
}


class KafkaMember(KafkaConsumer):
    """Implements `toolkit.ports.Member`. The driver calls back from within `poll`, on the thread that polls."""

    def __init__(
        self,
        settings: Mapping[str, str],
        bounds_of: Bounds,
        group: str,
        topics: Collection[str],
        holder: Holder,
        *,
        protocol: GroupProtocol = "classic",
    ) -> None:
        super().__init__({**PROTOCOLS[protocol], **settings}, bounds_of, group)
        self._holder = holder
        self._broken: StranglerError | None = None
        self._leaving = False
        with driver_errors("the topics cannot be read"):
            self._consumer.subscribe(
                sorted(topics), on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost
            )

    def poll(self, limit: int, timeout: dt.timedelta) -> list[Delivery]:
        """Up to `limit` deliveries of its partitions; what the holder refused is raised, and it reads no more."""
        found = [] if self._broken else super().poll(limit, timeout)
        if self._broken is not None:
            raise self._broken
        return found

    def close(self) -> None:
        """Leave the group, so that others take over at once."""
        self._leaving = True
        super().close()

    # --- what the driver calls; an error raised there would come out of it changed, or not at all

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        offsets: Mapping[Partition, int] = {}
        if partitions and not self._idle:
            try:
                offsets = self._holder.take(_places(partitions))
                self._check({at: offsets[at] for at in _places(partitions)})
            except StranglerError as error:
                self._broken = error
                return
        self._positions |= {at: offsets[at] for at in _places(partitions) if at in offsets}
        with driver_errors("the assignment is refused"):
            consumer.incremental_assign(
                [TopicPartition(*at, offsets[at]) for at in _places(partitions) if at in offsets]
            )

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        if partitions and not self._idle:
            try:
                self._holder.give(_places(partitions))
            except StranglerError as error:
                self._broken = error
        self._drop(consumer, partitions)

    def _lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        if not self._idle:
            self._broken = Fenced(
                "the group has given this process's partitions to others: it was silent too long"
            )
        self._drop(consumer, partitions)

    def _drop(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for at in _places(partitions):
            self._positions.pop(at, None)
        with driver_errors("the partitions cannot be given up"):
            consumer.incremental_unassign(partitions)

    @property
    def _idle(self) -> bool:
        """Is nobody there any more who reads?"""
        return self._leaving or self._broken is not None


def _places(partitions: Collection[TopicPartition]) -> list[Partition]:
    return [(one.topic, one.partition) for one in partitions]
