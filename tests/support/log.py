"""A log and an archive as lists: small and honest, and willing to deliver whatever a test wants delivered."""

import datetime as dt
from collections.abc import Collection, Iterable, Mapping
from typing import Any, cast

from toolkit.core.errors import OffsetLost
from toolkit.core.records import Content, Coordinates, Delivery, Passed, Record, Watermark
from toolkit.ports import Archive, Consumer, Log, Publisher

Place = tuple[str, int]


class ListLog:
    """ports.Log for readers; a test writes with `put` and `mark`."""

    def __init__(self, topics: Mapping[str, int]) -> None:
        self.topics = dict(topics)
        self.kept: dict[Place, list[Content]] = {
            (topic, partition): [] for topic, partitions in topics.items() for partition in range(partitions)
        }
        self.first: dict[Place, int] = dict.fromkeys(self.kept, 0)
        self.failures: list[Exception] = []

    def put(self, topic: str, *contents: Record) -> None:
        """Append records, each to its partition, as often and in the order that they are given."""
        for content in contents:
            self.kept[topic, content.partition].append(content)

    def mark(self, topic: str, as_of: dt.datetime, sequences: Mapping[int, int] | None = None) -> None:
        """A watermark to every partition; it speaks of the highest sequence there, unless one is given."""
        for (name, partition), contents in self.kept.items():
            if name == topic:
                last = max((one.sequence for one in contents if isinstance(one, Record)), default=0)
                sequence = last if sequences is None else sequences.get(partition, 0)
                contents.append(Watermark(as_of=as_of, sequence=sequence))

    def forget(self, place: Place, below: int) -> None:
        """Let retention pass."""
        self.first[place] = below

    # --- ports.Log

    def create(self, topic: str, partitions: int) -> None:
        raise NotImplementedError

    def publisher(self, topic: str) -> Publisher:
        raise NotImplementedError

    def partitions(self, topic: str) -> int:
        return self.topics[topic]

    def bounds(self, topic: str) -> dict[int, tuple[int, int]]:
        return {
            partition: (self.first[name, partition], len(contents))
            for (name, partition), contents in self.kept.items()
            if name == topic
        }

    def largest(self, topic: str) -> int | None:
        raise NotImplementedError

    def consumer(self) -> Consumer:
        return ListConsumer(self)

    def close(self) -> None: ...


class ListConsumer:
    """ports.Consumer over a ListLog; never waits."""

    def __init__(self, log: ListLog) -> None:
        self.log = log
        self.offsets: dict[Place, int] = {}

    def assign(self, offsets: Mapping[Place, int]) -> None:
        for (topic, partition), offset in offsets.items():
            first, end = self.log.bounds(topic)[partition]
            if not first <= offset <= end:
                raise OffsetLost(topic, partition, offset, (first, end))
        self.offsets = dict(offsets)

    def poll(self, limit: int, timeout: dt.timedelta) -> list[Delivery]:
        if self.log.failures:
            raise self.log.failures.pop(0)
        found: list[Delivery] = []
        for place, offset in self.offsets.items():
            topic, partition = place
            contents = self.log.kept[place][offset : offset + limit - len(found)]
            found += [
                Delivery(
                    at=Coordinates(topic=topic, partition=partition, offset=offset + at), content=content
                )
                for at, content in enumerate(contents)
            ]
            self.offsets[place] = offset + len(contents)
        return found

    def close(self) -> None:
        self.offsets = {}


class ListArchive:
    """The reading half of ports.Archive over records that were all published, at offset sequence - 1."""

    def __init__(self, topic: str, records: Iterable[Record] = ()) -> None:
        self.topic = topic
        self.records: list[Record] = list(records)
        self.watermark: dt.datetime | None = None
        self.gone = 0
        """the sequence up to which each partition was pruned"""

    def _of(self, topic: str) -> list[Record]:
        mine = self.records if topic == self.topic else []
        return sorted(mine, key=lambda record: (record.partition, record.sequence))

    def scan(
        self, topic: str, after: Mapping[int, int], limit: int, unheard: Collection[str] = ()
    ) -> list[Delivery]:
        return [
            Delivery(
                at=Coordinates(topic=topic, partition=record.partition, offset=record.sequence - 1),
                content=Passed(sequence=record.sequence) if record.envelope.type in unheard else record,
            )
            for record in self._of(topic)
            if record.sequence > after.get(record.partition, 0)
        ][:limit]

    def of_subject(self, topic: str, subject: str) -> list[Record]:
        return [record for record in self._of(topic) if record.envelope.subject == subject]

    def unpublished(self, _topic: str, _limit: int) -> list[Record]:
        return []

    def pruned(self, topic: str) -> dict[int, int]:
        return {record.partition: self.gone for record in self._of(topic)}

    def offsets(self, topic: str, sequences: Mapping[int, int]) -> dict[int, int]:
        there = self.last_sequences(topic)
        return {at: sequence - 1 for at, sequence in sequences.items() if 0 < sequence <= there.get(at, 0)}

    def last_sequences(self, topic: str) -> dict[int, int]:
        return {record.partition: record.sequence for record in self._of(topic)}

    def last_watermark(self, topic: str) -> dt.datetime | None:
        return self.watermark


def as_log(log: ListLog) -> Log:
    """For the type checker: it is one."""
    return log


def as_archive(archive: Any) -> Archive:
    """For the type checker: the reading half is all that a projection asks for."""
    return cast(Archive, archive)
