"""Writing to Kafka: records in their order, each acknowledged by all replicas, without a gap."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from adapters.kafka import SLICE, driver_errors, quiet
from toolkit.core import cloudevents
from toolkit.core.errors import Infrastructure
from toolkit.core.records import Record, Run, Watermark

_log = logging.getLogger("strangler.log")
_PURGED = (KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT)

USUAL = 1_000_000
"""What the driver sends at most unless it is told otherwise; a little less than Kafka's own limit."""
REPORT_EVERY = 1_000
"""Of so many messages of a partition the driver reports one: each report takes the interpreter away from somebody."""


class _Message(NamedTuple):
    """As the driver takes it."""

    partition: int
    key: bytes | None
    headers: Any
    value: bytes


class _Report(NamedTuple):
    """The driver says where the log keeps one message: the how many-th of its partition, from 0."""

    place: int
    offset: int


class _Sent:
    """What became of the messages of a call, as far as the driver was asked to report.

    An idempotent producer writes those of a partition one after the other, and reports them in their order. So where two
    reports are as far from each other as their offsets, they tell all between; where somebody else wrote there meanwhile,
    they do not.
    """

    def __init__(self) -> None:
        self.refused: dict[int, str] = {}
        self.stopped: dict[int, int] = {}
        """The place of the message that the driver did not even take, by partition."""
        self.closed = self.mixed = False
        self._reports: dict[int, list[_Report]] = {}
        self._failed: set[int] = set()

    def delivered(self, place: int, error: KafkaError | None, message: Message) -> None:
        """The driver's report of one message."""
        partition = message.partition() or 0
        if error is not None:
            self._failed.add(partition)
            if error.code() not in _PURGED:
                self.refused.setdefault(partition, error.str())
        elif partition not in self._failed and not self.closed:
            self._reports.setdefault(partition, []).append(_Report(place, message.offset() or 0))

    def count(self, partition: int) -> int:
        """How many messages of a partition were certainly acknowledged, from its first one on, and where is known."""
        return sum(one.count for one in self.runs(partition, 0))

    def runs(self, partition: int, sequence: int) -> list[Run]:
        """Where these stand, given the sequence of the first."""
        found: list[Run] = []
        before = _Report(-1, -1)
        for report in self._reports.get(partition, ()):
            steps, apart = report.place - before.place, report.offset - before.offset
            if found and steps == apart:
                last = found.pop()
                found.append(
                    Run(
                        partition=partition,
                        sequence=last.sequence,
                        offset=last.offset,
                        count=last.count + steps,
                    )
                )
            elif steps == 1:
                found.append(
                    Run(partition=partition, sequence=sequence + report.place, offset=report.offset, count=1)
                )
            else:
                self.mixed = True
                break
            before = report
        return found


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
        self._every = REPORT_EVERY
        self._producer: Producer | None = None

    def publish(self, records: Sequence[Record]) -> list[Run]:
        """Publish in the given order. Raises Infrastructure when not one record was acknowledged.

        What is returned is what is known: where a record was refused, or somebody else wrote to the topic meanwhile, some
        more may be in the log. The next call has each message reported.
        """
        first: dict[int, Record] = {}
        for record in records:
            first.setdefault(record.partition, record)
        every = self._every
        sent = self._send(map(self._message, records), [record.partition for record in records])
        found = [run for partition, record in first.items() for run in sent.runs(partition, record.sequence)]
        self._every = 1 if sent.refused or sent.mixed else REPORT_EVERY
        told = [
            self._refusal(partition, records, sent, sure=every == 1 or partition in sent.stopped)
            for partition in sent.refused
        ]
        if records and not found:
            raise Infrastructure(told[0])
        for one in told:
            _log.warning("%s", one)
        return found

    def _refusal(self, partition: int, records: Sequence[Record], sent: _Sent, *, sure: bool) -> str:
        here = [record for record in records if record.partition == partition]
        first = here[sent.stopped.get(partition, sent.count(partition))].envelope.id
        which = first if sure else f"{first}, or one that follows it"
        return f"{self._topic}[{partition}] did not take event {which}: {sent.refused[partition]}"

    def watermark(self, marks: Mapping[int, Watermark]) -> None:
        """Write a watermark to every partition given. Raises Infrastructure when one was not acknowledged."""
        messages = [
            _Message(partition, None, *cloudevents.to_message(cloudevents.of_watermark(mark, partition)))
            for partition, mark in marks.items()
        ]
        for partition, reason in self._send(messages, list(marks)).refused.items():
            raise Infrastructure(f"{self._topic}[{partition}] did not take a watermark: {reason}")

    def close(self) -> None:
        """Throw away what was not sent: the archive knows that it was not acknowledged."""
        if self._producer is not None:
            self._producer.purge()
            self._producer.flush(self._answer)
            self._producer = None

    def _send(self, messages: Iterable[_Message], partitions: Sequence[int]) -> _Sent:
        """Produce in order and wait. Each partition ends at its first message that was not acknowledged.

        `partitions` are those of the messages.
        """
        sent, deadline = _Sent(), time.monotonic() + self._answer
        producer = self._open()
        last = {partition: at for at, partition in enumerate(partitions)}
        places = dict.fromkeys(last, 0)
        for at, message in enumerate(messages):
            partition = message.partition
            place = places[partition]
            places[partition] = place + 1
            if partition not in sent.refused:
                asked = place % self._every == 0 or at == last[partition]
                report = partial(sent.delivered, place) if asked else None
                if why := self._produce(producer, message, report, deadline):
                    sent.refused[partition], sent.stopped[partition] = why, place
        self._wait(producer, sent, places, deadline)
        return sent

    def _wait(self, producer: Producer, sent: _Sent, given: Mapping[int, int], deadline: float) -> None:
        while len(producer) and time.monotonic() < deadline:
            producer.flush(SLICE)
        for partition, count in given.items():
            if sent.count(partition) < count and not sent.mixed:
                sent.refused.setdefault(partition, "no acknowledgement in time")
        if sent.refused:
            # A producer that failed may hold records back, or be dead for good: begin anew.
            sent.closed = True
            self.close()

    def _produce(
        self,
        producer: Producer,
        message: _Message,
        report: Callable[[KafkaError | None, Message], None] | None,
        deadline: float,
    ) -> str:
        """Hand one message to the driver. Returns why it cannot be, or nothing."""
        partition, key, headers, value = message
        while True:
            try:
                producer.produce(
                    self._topic, value, key, partition=partition, headers=headers, on_delivery=report
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
        return {} if limit is None else {"message.max.bytes": limit, "batch.size": min(limit, USUAL)}

    def _open(self) -> Producer:
        if self._producer is None:
            with driver_errors("the settings in [log.settings] are refused"):
                self._producer = Producer(quiet(self._sizes() | self._settings))
        return self._producer


def _structured(record: Record) -> _Message:
    subject, value = record.envelope.subject.encode(), cloudevents.record_json(record)
    return _Message(record.partition, subject, cloudevents.STRUCTURED_HEADERS, value)


def _binary(record: Record) -> _Message:
    if cloudevents.begins_as_ours(record.data):
        return _structured(record)  # whoever reads it would take the data for the event
    headers, value = cloudevents.to_message(cloudevents.of_record(record))
    return _Message(record.partition, record.envelope.subject.encode(), headers, value)
