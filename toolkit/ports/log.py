"""The log: who writes to it, and who reads."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol, runtime_checkable

from toolkit.core.records import Delivery, Record, Run, Watermark


class Publisher(Protocol):
    """Writes to one topic. Blocks until the log has acknowledged."""

    def publish(self, records: Sequence[Record]) -> list[Run]:
        """Publish in the given order, each partition's without a gap. Returns where they stand, per partition only the
        prefix that was acknowledged without a failure before it: the rest is published again by the next pass.
        """

    def watermark(self, marks: Mapping[int, Watermark]) -> None:
        """Write a watermark to every partition given."""

    def close(self) -> None: ...


class Consumer(Protocol):
    """Reads assigned partitions from assigned offsets; keeps no position of its own."""

    def assign(self, offsets: Mapping[tuple[str, int], int]) -> None: ...

    def poll(self, limit: int, timeout: dt.timedelta) -> list[Delivery]:
        """Up to `limit` deliveries, each partition's in order; returns early with what there is."""

    def close(self) -> None: ...


Place = tuple[str, int]
"""Topic and partition."""


class Holder(Protocol):
    """Who reads the partitions that fall to a member, and keeps where each stands. Both calls come from within `poll`."""

    def take(self, places: Collection[Place]) -> Mapping[Place, int]:
        """These are ours from now on. Returns where to read on, of all that is ours."""

    def give(self, places: Collection[Place]) -> Mapping[Place, int]:
        """These will be another's: end what is under way. Returns the same of what is left."""


class Member(Protocol):
    """Reads, among the members of a group, the partitions that fall to it; keeps no position of its own."""

    def poll(self, limit: int, timeout: dt.timedelta) -> list[Delivery]:
        """As a consumer's. Raises Fenced when others read its partitions already."""

    def close(self) -> None:
        """Leave the group, so that others take over at once."""


@runtime_checkable
class Grouped(Protocol):
    """A log that divides partitions among the members of a group by itself."""

    def member(self, group: str, topics: Collection[str], holder: Holder) -> Member: ...


class Log(Protocol):
    """The ordered, partitioned event log."""

    def create(self, topic: str, partitions: int) -> None:
        """Create the topic, or verify that it has just so many partitions (else ProjectError)."""

    def partitions(self, topic: str) -> int: ...

    def publisher(self, topic: str) -> Publisher: ...

    def consumer(self) -> Consumer: ...

    def bounds(self, topic: str) -> dict[int, tuple[int, int]]:
        """Partition to (first retained offset, next offset)."""

    def largest(self, topic: str) -> int | None:
        """How many bytes a record may have, its key and attributes included; None: as many as it likes."""

    def close(self) -> None: ...
