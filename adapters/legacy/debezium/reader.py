"""Reads partitions from offsets that are kept elsewhere: no consumer group, and no position but the one it is given."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from adapters.kafka import BY_POSITION, Partition, driver_errors, quiet
from toolkit.core.errors import Infrastructure

SLICE = 0.1
"""Longest single wait in the driver, in seconds."""


class Read(msgspec.Struct, frozen=True, kw_only=True):
    """A message as Kafka gives it."""

    at: Partition
    offset: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | str | None]] = []
    written_at: int = 0
    """milliseconds from 1970; 0 where the topic keeps none"""


class TopicReader:
    """Reads what it is assigned. `reached` is the offset up to which a partition was read; `ended` those read to the end,
    `silent` those of which nothing was heard yet.

    `lost` is told of a partition whose next offset is not there any more, and raises what is to be said of it.
    """

    def __init__(self, settings: Mapping[str, str], lost: Callable[[Partition, int], Exception]) -> None:
        self._lost = lost
        self._down = ""
        self.reached: dict[Partition, int] = {}
        self.ended: set[Partition] = set()
        self.silent: set[Partition] = set()
        self._paused: set[Partition] = set()
        with driver_errors("the settings in [legacy.NAME.debezium.settings] are refused"):
            self._consumer = Consumer(
                quiet(settings, self._note)
                | BY_POSITION
                | {
                    "group.id": "strangler-positions-are-in-the-inbox",  # asked for, never used
                    "enable.partition.eof": True,
                }
            )

    def assign(self, offsets: Mapping[Partition, int]) -> None:
        """Read from these offsets."""
        self.reached = dict(offsets)
        self.ended = set()
        self.silent = set(offsets)
        self._paused = set()
        with driver_errors("the assignment is refused"):
            self._consumer.assign([TopicPartition(*at, offset) for at, offset in offsets.items()])

    def rest(self, full: set[Partition]) -> None:
        """Do not read these for now (enough of them waits); read all others."""
        with driver_errors("the assignment is refused"):
            if pause := full - self._paused:
                self._consumer.pause([TopicPartition(*at) for at in pause])
            if resume := self._paused - full:
                self._consumer.resume([TopicPartition(*at) for at in resume])
        self._paused = set(full)

    def poll(self, limit: int, timeout: float) -> list[Read]:
        """Up to `limit` messages; returns early with what there is. Raises Infrastructure, and what `lost` says."""
        deadline = time.monotonic() + timeout
        while True:
            with driver_errors("Kafka cannot be read"):
                left = max(0.0, deadline - time.monotonic())
                first = self._consumer.poll(min(left, SLICE))
                more = self._consumer.consume(limit - 1, 0) if first is not None and limit > 1 else []
            # A message without a value is false, hence `is not None`.
            given = [message for message in [first, *more] if message is not None]
            found = [one for one in map(self._take, given) if one is not None]
            if found or time.monotonic() >= deadline:
                break
        down, self._down = self._down, ""
        if down and not found:
            raise Infrastructure(f"Kafka cannot be reached: {down}")
        return found

    def close(self) -> None:
        """Leave the connections."""
        self._consumer.close()

    def _take(self, message: Message) -> Read | None:
        at, offset, error = (
            (message.topic() or "", message.partition() or 0),
            message.offset(),
            message.error(),
        )
        if error is not None:
            self._judge(at, offset, error)
            return None
        if at not in self.reached or offset is None:
            return None  # fetched before the assignment changed
        self.reached[at] = offset + 1
        self.ended.discard(at)
        self.silent.discard(at)
        headers: Any = message.headers()
        kind, written_at = message.timestamp()
        return Read(
            at=at,
            offset=offset,
            key=message.key(),
            value=message.value(),
            headers=headers if isinstance(headers, list) else [],
            written_at=written_at if kind else 0,
        )

    def _judge(self, at: Partition, offset: int | None, error: KafkaError) -> None:
        if error.code() == KafkaError._PARTITION_EOF:
            if at in self.reached:
                # Behind the last message there may be markers of transactions, which nobody is given.
                self.reached[at] = max(self.reached[at], offset or 0)
                self.ended.add(at)
                self.silent.discard(at)
            return
        if error.code() in (KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET):
            raise self._lost(at, self.reached.get(at, -1))
        raise Infrastructure(f"{at[0]}[{at[1]}] cannot be read: {error.str()}")

    def _note(self, error: KafkaError) -> None:
        if error.code() in (KafkaError._ALL_BROKERS_DOWN, KafkaError._AUTHENTICATION) or error.fatal():
            self._down = error.str()


def partitions(described: Mapping[str, tuple[str, int]]) -> Sequence[Partition]:
    """Every partition of these topics."""
    return [(topic, number) for topic, (_, count) in described.items() for number in range(count)]
