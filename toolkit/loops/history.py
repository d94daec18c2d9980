"""Where the events of a rebuild come from: the archive, or the log; and whether they reach back as far as it needs.

Both are asked before anything is promised: a history without its beginning gives rows that look right and are not.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Protocol

import msgspec

from toolkit import commands
from toolkit.core.errors import Refused
from toolkit.core.records import Delivery
from toolkit.loops.folding import Place
from toolkit.ports import Archive, Checkpoint, Consumer, Log

ANEW = (
    "nothing reaches back to the beginning any more: read the history anew, in a project of another project.name "
    f"and state.url, with `{commands.BACKFILL}`"
)
PATIENCE = dt.timedelta(seconds=30)
"""How long a log may say nothing although it holds more."""


class Origin(StrEnum):
    """Where from."""

    ARCHIVE = "archive"
    LOG = "log"


class History(Protocol):
    """The events of some topics, from any place on."""

    def lacks(self, at: Mapping[Place, Checkpoint]) -> list[str]:
        """What is missing between these checkpoints and what it holds; empty: it can be promised."""

    def begin(self, at: Mapping[Place, Checkpoint]) -> list[Checkpoint]:
        """The checkpoints that have to stand elsewhere, so that the log is read on from them."""

    def page(self, topic: str, at: Mapping[Place, Checkpoint]) -> list[Delivery]:
        """What comes next in a topic; nothing at the end of what there was when it was begun."""

    def close(self) -> None: ...


def beginnings(topics: Mapping[str, int]) -> dict[Place, Checkpoint]:
    """Where a version stands before it has seen anything."""
    return {
        (topic, partition): Checkpoint(topic=topic, partition=partition)
        for topic, partitions in topics.items()
        for partition in range(partitions)
    }


def pruned(archive: Archive, needed: Mapping[Place, int]) -> list[str]:
    """What the archive lacks of the events that follow these sequences."""
    gone = {topic: archive.pruned(topic) for topic in {topic for topic, _ in needed}}
    return [
        f"{topic}[{partition}]: event {sequence + 1} is needed, and the archive begins with event {first + 1}"
        for (topic, partition), sequence in needed.items()
        if (first := gone[topic].get(partition, 0)) > sequence
    ]


def whole(archive: Archive, topics: Mapping[str, int], what: str) -> None:
    """Raise Refused when what is asked for needs a history from its beginning, and the archive has none."""
    if reasons := pruned(archive, dict.fromkeys(beginnings(topics), 0)):
        raise Refused(f"{what}: the archive was pruned", [*reasons, ANEW])


class ArchiveHistory:
    """The archive gives events by sequence, each with its place in the log, where a projector goes on.

    It need not give those that nobody hears.
    """

    def __init__(self, archive: Archive, batch: int, unheard: Collection[str]) -> None:
        self._archive, self._batch, self._unheard = archive, batch, unheard

    def lacks(self, at: Mapping[Place, Checkpoint]) -> list[str]:
        """Events that were pruned."""
        return pruned(self._archive, {place: one.sequence for place, one in at.items()})

    def begin(self, at: Mapping[Place, Checkpoint]) -> list[Checkpoint]:  # noqa: ARG002 - the port's
        """None: it is read by sequence."""
        return []

    def page(self, topic: str, at: Mapping[Place, Checkpoint]) -> list[Delivery]:
        """The next events, by (partition, sequence)."""
        after = {partition: one.sequence for (name, partition), one in at.items() if name == topic}
        return self._archive.scan(topic, after, self._batch, self._unheard)

    def close(self) -> None:
        """Nothing of its own is open."""


class LogHistory:
    """The log gives what it retains, watermarks among it; where the next event stands there, the archive knows."""

    def __init__(self, log: Log, archive: Archive, batch: int) -> None:
        self._log, self._archive, self._batch = log, archive, batch
        self._reading: dict[str, tuple[Consumer, dict[Place, int]]] = {}

    def lacks(self, at: Mapping[Place, Checkpoint]) -> list[str]:
        """Events that retention has passed."""
        told = []
        for topic in {topic for topic, _ in at}:
            bounds, wanted = self._log.bounds(topic), self._wanted(topic, at)
            for (name, partition), one in at.items():
                first = bounds.get(partition, (0, 0))[0]
                if name == topic and partition in wanted and wanted[partition] < first:
                    told.append(
                        f"{topic}[{partition}]: event {one.sequence + 1} is needed, which stood at offset "
                        f"{wanted[partition]}, and the log begins with offset {first}"
                    )
        return told

    def _wanted(self, topic: str, at: Mapping[Place, Checkpoint]) -> dict[int, int]:
        """Partition to the offset of its next event; silent where none was published."""
        following = {partition: one.sequence + 1 for (name, partition), one in at.items() if name == topic}
        return self._archive.offsets(topic, following)

    def begin(self, at: Mapping[Place, Checkpoint]) -> list[Checkpoint]:
        """Each stands where its next event is; where there is none, at what is retained first, or where it stood."""
        moved = []
        for topic in {topic for topic, _ in at}:
            bounds, wanted = self._log.bounds(topic), self._wanted(topic, at)
            for (name, partition), one in at.items():
                first = bounds.get(partition, (0, 0))[0]
                offset = wanted.get(partition, max(one.next_offset, first))
                if name == topic and offset != one.next_offset:
                    moved.append(msgspec.structs.replace(one, next_offset=offset))
        return moved

    def page(self, topic: str, at: Mapping[Place, Checkpoint]) -> list[Delivery]:
        """The next deliveries, until the end that the log had when it was begun."""
        here = {place: one for place, one in at.items() if place[0] == topic}
        if topic not in self._reading:
            consumer = self._log.consumer()
            consumer.assign({place: one.next_offset for place, one in here.items()})
            ends = {(topic, partition): end for partition, (_, end) in self._log.bounds(topic).items()}
            self._reading[topic] = consumer, ends
        consumer, ends = self._reading[topic]
        if all(one.next_offset >= ends.get(place, 0) for place, one in here.items()):
            return []
        return consumer.poll(self._batch, PATIENCE)

    def close(self) -> None:
        """Give back the consumers."""
        for consumer, _ in self._reading.values():
            consumer.close()
        self._reading = {}
