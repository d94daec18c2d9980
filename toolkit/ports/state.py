"""What the loops keep: the archive of events, what is parked, who leads, and who pauses."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

import msgspec

from toolkit.core.changes import Change
from toolkit.core.records import Delivery, Draft, Record, Run
from toolkit.core.unclassified import Shape, Unclassified
from toolkit.ports.legacy import Cursor


class ParkedChange(msgspec.Struct, frozen=True, kw_only=True):
    """A legacy change that waits: the one that could not be translated, or one held back behind it."""

    source: str
    change: Change
    reason: str
    held: bool
    parked_at: dt.datetime


class Archive(Protocol):
    """Every event that was ever translated, in order, with its coordinates once it is published.

    All writing methods take the caller's `epoch` and raise Fenced when the lease has a higher one.
    """

    def append(
        self,
        source: str,
        topic: str,
        drafts: Sequence[Draft],
        *,
        partitions: int,
        epoch: int,
        doubtful: bool = True,
        used: Sequence[int] = (),
        parked: Sequence[ParkedChange] = (),
        unparked: Sequence[ParkedChange] = (),
        cursors: Sequence[Cursor] = (),
        unclassified: Sequence[Unclassified] = (),
    ) -> list[Record]:
        """Store what one step gave, in one transaction: events, parked changes and their release, cursors, and the
        numbers of the changes that were used up and are still to be marked, in the place of those noted before.
        Returns the events that are new; `doubtful`: an id may be there already, and is skipped then.
        """

    def unmarked(self, source: str) -> list[int]:
        """Numbers of the changes that the last step used up; perhaps they are not marked in the legacy source yet."""

    def cursors(self, source: str) -> list[Cursor]: ...

    def parked(self, source: str) -> list[ParkedChange]:
        """In order of their number."""

    def parked_subjects(self, source: str) -> dict[str, frozenset[str]]:
        """Subjects with a parked change, which their views cannot know of, each with the tables of its changes.

        No tables where there are too many changes to look into: it is asked beside reads, every second or so.
        """

    def unpublished(self, topic: str, limit: int) -> list[Record]:
        """Records without coordinates, by (partition, sequence), evenly over partitions."""

    def published(self, topic: str, runs: Sequence[Run], *, source: str, epoch: int) -> None:
        """Note where the log keeps what it acknowledged, in order. Coordinates never change afterwards."""

    def backlog(self, topic: str) -> int: ...

    def published_to(self, topic: str) -> dict[int, int] | None:
        """Partition to the highest sequence archived, if all of them are published; None while some wait."""

    def last_sequences(self, topic: str) -> dict[int, int]:
        """Partition to the highest sequence archived."""

    def watermarked(self, topic: str, as_of: dt.datetime, *, source: str, epoch: int) -> None:
        """Note the instant of the last watermark sent (for status: is the relay alive?)."""

    def last_watermark(self, topic: str) -> dt.datetime | None: ...

    def scan(
        self, topic: str, after: Mapping[int, int], limit: int, unheard: Collection[str] = ()
    ) -> list[Delivery]:
        """Published records with a sequence above `after[partition]`, by (partition, sequence): what a rebuild reads.
        Of the types that are `unheard` only Passed is told, with the last sequence of each stretch of them.
        Raises HistoryGone when the next one of a partition was pruned.
        """

    def of_subject(self, topic: str, subject: str) -> list[Record]:
        """The published records of one subject that are kept, by (partition, sequence): what the repair of one row reads."""

    def touched(self, topic: str, since: dt.datetime) -> set[str]:
        """Subjects with an event whose time is `since` or later."""

    def pruned(self, topic: str) -> dict[int, int]:
        """Partition to the sequence up to which its events are gone; 0 where it is kept from its beginning."""

    def offsets(self, topic: str, sequences: Mapping[int, int]) -> dict[int, int]:
        """Partition to where the log got the event with this sequence; silent where it was not published yet."""


class UnclassifiedLedger(Protocol):
    """What was read and gave nothing, by shape."""

    def of(self, source: str) -> list[Unclassified]: ...

    def answer(self, source: str, shape: Shape, owner: str, reason: str, now: dt.datetime) -> None: ...


class SeenKind(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of event (type, version, meaning) that was archived: how often, and when first and last."""

    topic: str
    type: str
    version: int
    meaning: int
    events: int
    first_at: dt.datetime
    last_at: dt.datetime


class Kinds(Protocol):
    """The kinds of events that were ever archived."""

    def seen(self, topic: str) -> list[SeenKind]:
        """Every kind of a topic, by type, version and meaning."""

    def example(self, kind: SeenKind) -> Record | None:
        """One of its newer events; None when the archive does not hold it any more."""


class Leases(Protocol):
    """One leader per piece of work; the epoch fences the former one."""

    def acquire(self, name: str, owner: str, ttl: dt.timedelta, now: dt.datetime, *, whole: str = "") -> int:
        """Take the lease and return its new epoch. Raises LeaseHeld while another's has not run out.

        With `whole`, it is a part of that lease (or that lease): those of any other division must have run out, too,
        and whoever held one is fenced.
        """

    def renew(self, name: str, epoch: int, ttl: dt.timedelta, now: dt.datetime) -> None:
        """Raises Fenced when the epoch is no longer ours."""

    def release(self, name: str, epoch: int, now: dt.datetime) -> None: ...


class Pause(msgspec.Struct, frozen=True, kw_only=True):
    """Who told the relay of a source to rest, since when, and why."""

    source: str
    who: str
    why: str
    since: dt.datetime


class Pauses(Protocol):
    """The relays that rest because somebody said so."""

    def of(self, source: str) -> Pause | None: ...

    def pause(self, source: str, who: str, why: str, now: dt.datetime) -> Pause: ...

    def resume(self, source: str) -> bool:
        """Was it paused?"""


class LeaseState(msgspec.Struct, frozen=True, kw_only=True):
    """A lease as anybody may see it."""

    name: str
    owner: str
    epoch: int
    expires_at: dt.datetime


class LeaseList(Protocol):
    """Who leads what, for the overview."""

    def leases(self) -> list[LeaseState]:
        """Every lease that was ever taken, those that ran out, too; not those of a division that another one replaced."""
