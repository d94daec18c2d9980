"""Reading Kafka from positions that are kept elsewhere."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from adapters.kafka import BY_POSITION, SLICE, Partition, driver_errors, quiet
from toolkit.core import cloudevents
from toolkit.core.errors import Infrastructure, OffsetLost
from toolkit.core.records import Content, Coordinates, Delivery

AT_ONCE = 500
"""Messages that are taken from the driver at once."""

Bounds = Callable[[Sequence[Partition]], Mapping[Partition, tuple[int, int]]]
"""Each partition's first retained offset, and its next one."""


class KafkaConsumer:
    """Implements `toolkit.ports.Consumer`."""

    def __init__(
        self,
        settings: Mapping[str, Any],
        bounds_of: Bounds,
        group: str = "strangler-positions-are-in-the-read-store",
    ) -> None:
        self._bounds_of = bounds_of
        self._down = ""
        self._failed: Infrastructure | OffsetLost | None = None
        self._positions: dict[Partition, int] = {}
        with driver_errors("the settings in [log.settings] are refused"):
            self._consumer = Consumer(
                quiet(settings, self._note)
                | BY_POSITION
                | {"group.id": group}  # asked for, even where not used
            )

    def assign(self, offsets: Mapping[Partition, int]) -> None:
        """Read from these offsets. Raises OffsetLost when the log does not hold one of them."""
        self._check(offsets)
        self._positions = dict(offsets)
        self._failed = None
        with driver_errors("the assignment is refused"):
            self._consumer.assign([TopicPartition(*at, offset) for at, offset in offsets.items()])

    def _check(self, offsets: Mapping[Partition, int]) -> None:
        """Raise OffsetLost when the log does not hold one of them."""
        for at, (first, end) in self._bounds_of(list(offsets)).items():
            if not first <= offsets[at] <= end:
                raise OffsetLost(*at, offsets[at], (first, end))

    def poll(self, limit: int, timeout: dt.timedelta) -> list[Delivery]:
        """Up to `limit` deliveries, each partition's in order; returns early with what there is."""
        self._raise_failure()
        deadline = time.monotonic() + timeout.total_seconds()
        while True:
            found = self._take(self._wait(deadline))
            if found:
                return self._rest(found, limit)
            self._raise_failure()
            if time.monotonic() >= deadline:
                break
        self._raise_outage()
        return []

    def close(self) -> None:
        """Leave the connections."""
        self._consumer.close()

    def _wait(self, deadline: float) -> list[Message]:
        """One message as soon as there is one: `consume` with a time-out would wait for as many as it is asked for."""
        with driver_errors("Kafka cannot be read"):
            left = max(0.0, deadline - time.monotonic())
            first = self._consumer.poll(min(left, SLICE))
            return [] if first is None else [first]

    def _rest(self, found: list[Delivery], limit: int) -> list[Delivery]:
        """And with it what is there without waiting, up to the first error.

        A few at once: the garbage collector would look through all that wait to be read.
        """
        with driver_errors("Kafka cannot be read"):
            while len(found) < limit and self._failed is None:
                messages = self._consumer.consume(min(AT_ONCE, limit - len(found)), 0)
                if not messages:
                    break
                found += self._take(messages)
        return found

    def _take(self, messages: Sequence[Message]) -> list[Delivery]:
        """What the messages say, up to the first error, which the next poll raises."""
        found: list[Delivery] = []
        positions = self._positions
        for message in messages:
            error = message.error()
            if error is not None:
                self._failed = self._failed or self._explain(message, error)
                continue
            topic, partition, offset = message.topic(), message.partition(), message.offset()
            if topic is None or partition is None or offset is None:
                raise Infrastructure("the Kafka driver gave a message without its place")
            if (topic, partition) not in positions:
                continue  # fetched before the assignment changed
            positions[topic, partition] = offset + 1
            at = Coordinates(topic=topic, partition=partition, offset=offset)
            found.append(Delivery(at=at, content=_content(message, partition)))
        if found:
            self._down = ""
        return found

    def _explain(self, message: Message, error: KafkaError) -> Infrastructure | OffsetLost:
        at = (message.topic() or "", message.partition() or 0)
        if error.code() in (KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET):
            return OffsetLost(*at, self._positions.get(at, -1), self._bounds_of([at])[at])
        return Infrastructure(f"{at[0]}[{at[1]}] cannot be read: {error.str()}")

    def _raise_failure(self) -> None:
        failed, self._failed = self._failed, None
        if failed is not None:
            raise failed

    def _raise_outage(self) -> None:
        """Once per outage that the driver reports: it does not tell when an idle topic is reached again."""
        down, self._down = self._down, ""
        if down:
            raise Infrastructure(f"Kafka cannot be reached: {down}")

    def _note(self, error: KafkaError) -> None:
        if error.code() in (KafkaError._ALL_BROKERS_DOWN, KafkaError._AUTHENTICATION) or error.fatal():
            self._down = error.str()


def _content(message: Message, partition: int) -> Content:
    """What it carries. Its headers, which take as long to get as all else, are asked for only where they decide."""
    value = message.value()
    record = None if value is None else cloudevents.own_record(value, partition)
    if record is not None:
        return record
    headers = message.headers()
    return cloudevents.read_message(headers if isinstance(headers, list) else [], value, partition)
