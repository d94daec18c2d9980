"""Shards: the subjects of one source, divided among leaders that relay side by side.

A shard owns whole partitions of the log, so that sequences, places and watermarks of one never meet those of another.
"""

from __future__ import annotations

import msgspec

from toolkit.core.records import partition_of


class Shard(msgspec.Struct, frozen=True, kw_only=True):
    """One of `of` parts of a topic's partitions: those whose number leaves `number` when divided by `of`."""

    number: int = 0
    of: int = 1
    partitions: int = 1

    @property
    def whole(self) -> bool:
        """Is it all there is?"""
        return self.of == 1

    def has(self, partition: int) -> bool:
        """Is the partition one of its own?"""
        return partition % self.of == self.number

    def owns(self, subject: str) -> bool:
        """Is the subject one of its own?"""
        return self.whole or self.has(partition_of(subject, self.partitions))

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


WHOLE = Shard()
"""All subjects: how a source is led unless its settings say otherwise, and by whoever reads its history."""


def shards_of(count: int, partitions: int) -> list[Shard]:
    """The parts of a source that is relayed by so many leaders."""
    if count == 1:
        return [WHOLE]
    return [Shard(number=number, of=count, partitions=partitions) for number in range(count)]
