"""The end of the archive, and of a log that keeps its records itself."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Protocol, runtime_checkable

import msgspec


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What the archive keeps of one partition of a topic: all that follows `pruned`.

    `since` is the time of the first event that is kept, `archived_on` the day on which it was archived.
    """

    topic: str
    partition: int
    pruned: int
    published: int
    archived: int
    since: dt.datetime | None = None
    archived_on: dt.date | None = None

    @property
    def events(self) -> int:
        """How many it keeps."""
        return self.archived - self.pruned


class Swept(msgspec.Struct, frozen=True, kw_only=True):
    """One short step of removing what is cut: some events, or a time partition with all that was in it."""

    events: int = 0
    dropped: str = ""
    """the time partition that is gone"""
    busy: str = ""
    """the time partition that somebody held: it is emptied row by row, and dropped by the next run"""


class Retention(Protocol):
    """The end of the archive. What is cut is gone for every reader at once; removing it takes as long as it takes."""

    def kept(self, topic: str) -> list[Kept]:
        """By partition."""

    def size(self) -> int | None:
        """Bytes of the events, where the engine tells."""

    def whole(self, day: dt.date) -> dt.date:
        """The latest day, up to this one, before which everything goes by dropping whole time partitions."""

    def before(self, topic: str, day: dt.date) -> dict[int, int]:
        """Partition to the last published sequence that was archived before this day."""

    def cut(self, topic: str, ends: Mapping[int, int]) -> None:
        """Let history begin behind these sequences, where it does not begin later already."""

    def uncut(self, topic: str, ends: Mapping[int, int]) -> bool:
        """Let history begin behind these sequences again, as far as nothing was removed yet. Was there anything?"""

    def sweep(self) -> Iterator[Swept]:
        """Remove what is cut, step by step (in some of which nothing goes yet); what died in between goes on here."""

    def prepare(self, today: dt.date, *, monthly: bool) -> list[str]:
        """Make the time partitions of the days to come, where the engine has such. Returns those that were made."""

    def stray(self) -> int:
        """How many events lie in no time partition of their own, counted up to a million: they are removed row by row."""


@runtime_checkable
class PrunableLog(Protocol):
    """A log whose retention is ours to keep; Kafka keeps its own."""

    def before(self, topic: str, instant: dt.datetime) -> dict[int, int]:
        """Partition to the first offset whose event is not older than this instant."""

    def prune(self, topic: str, firsts: Mapping[int, int]) -> Iterator[int]:
        """Remove all that stands before these offsets, but never a partition's last record, in short transactions.

        Gives, for each of them, how many records went.
        """
