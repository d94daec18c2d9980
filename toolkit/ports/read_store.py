"""The read store: versions of projections, their rows and how far they are."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, runtime_checkable

import msgspec

from toolkit.core.projections import Definition
from toolkit.core.records import Record


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """How far one version of a projection has come in one partition."""

    topic: str
    partition: int
    next_offset: int = 0
    sequence: int = 0
    as_of: dt.datetime | None = None


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A partition that a process reads for a version that several write: where it stands, and what fences who read it."""

    checkpoint: Checkpoint
    epoch: int


class ParkedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event that waits in one version of a projection: the one that failed, or one held back behind it.

    `key` is the row's key as text; None when the event cannot be read so far, and holds back its whole subject.
    """

    record: Record
    topic: str
    key: str | None
    reason: str
    held: bool
    parked_at: dt.datetime


class SkippedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event that somebody decided never to apply in one version of a projection: the ledger's row, with its evidence.

    `parked` is what was seen of it then: the event with its data, and why it could not be applied. `code_hash` is the
    code that could not. The ledger outlives the version's table, so that a rebuild passes the same events by.
    """

    parked: ParkedEvent
    owner: str
    reason: str
    skipped_at: dt.datetime
    code_hash: str

    @property
    def event_id(self) -> str:
        """Which event it is."""
        return self.parked.record.envelope.id


class VersionState(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a projection as the read store knows it."""

    projection: str
    version: int
    serving: bool
    epoch: int
    shared: int = 0
    """the epoch in which several processes write it; another than the present one: it is somebody's alone"""
    state: str
    """building | running | waiting (for events that the log has not given yet) | failed | retired"""
    built_at: dt.datetime | None = None
    updated_at: dt.datetime | None = None
    projected_at: dt.datetime | None = None
    """when rows and positions were last written"""
    detail: str = ""


def serving_of(versions: Iterable[VersionState]) -> int | None:
    """Which of one projection's versions answers reads? One at most does."""
    return next((one.version for one in versions if one.serving), None)


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """All that one projector step changes, written in one transaction."""

    upserts: list[dict[str, object]] = []
    inserts: list[dict[str, object]] = []
    """rows that are known not to be there: what a store may write faster, and writes like the others where it errs"""
    deletes: list[object] = []
    checkpoints: list[Checkpoint] = []
    parked: list[ParkedEvent] = []
    unparked: list[str] = []
    """ids of parked events that were applied after all"""
    skipped: list[SkippedEvent] = []
    """parked events that are never to be applied: they leave the parked ones for the ledger"""
    claims: dict[tuple[str, int], int] = {}
    """where several write the version, the epochs of the partitions that all of this was read from"""
    awaited: dict[tuple[str, int], int] = {}
    """with claims, partition to the last sequence that is known to exist, where events before it have not come"""


class ViewAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A read of the view, its checkpoints and held keys, all seen in one transaction."""

    rows: list[dict[str, object]]
    checkpoints: dict[str, list[Checkpoint]]
    """by projection name"""
    versions: dict[str, int]
    held: dict[str, list[str]]
    """projection name to the keys that are held back by a parked event (its subject, where the key is not known)"""


class Digest(msgspec.Struct, frozen=True, kw_only=True):
    """The content of one version in one text, with the checkpoints and parked events of the same instant."""

    digest: str
    """sha256 over the rows' canonical JSON in key order"""
    rows: int
    checkpoints: list[Checkpoint]
    parked: list[str]
    """ids of the events whose effect is not in the rows, and is still to come"""
    skipped: list[str] = []
    """ids of those that are never to be in them, because somebody said so"""


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Some rows of one version, with the checkpoints and the events that they lack, all of the same instant."""

    rows: list[dict[str, object]]
    checkpoints: list[Checkpoint]
    parked: list[str]
    """as in a Digest"""
    skipped: list[str] = []


class ReadStore(Protocol):
    """Where projections live: what a database, a search index or a cache has to do to be filled, verified and switched.

    Whoever opens it finds it ready: what it keeps besides the rows, it makes by itself, but for our SQL stores, whose
    tables `migrations` makes. `SqlReads` is what it needs besides to answer capabilities, `Shareable` to be written by
    several processes at once. Whatever reads rows with other columns than the version was built with raises UsageError, as
    `create` does: its code was changed since.
    """

    def create(
        self, definition: Definition, topics: Mapping[str, int], now: dt.datetime, *, indexed: bool = True
    ) -> VersionState:
        """Create table and checkpoints of a version (topic to its number of partitions); serves if it is the first.

        What is there already stays. Not `indexed`: whoever fills it calls again, and gets its indexes then.
        Raises UsageError when the table has other columns than the definition.
        """

    def drop(self, projection: str, version: int) -> None:
        """Remove a version with its table. Raises Refused while it serves."""

    def versions(self, projection: str | None = None) -> list[VersionState]: ...

    def seize(self, projection: str, version: int) -> int:
        """Take over a version for writing: raises and returns its epoch. A zombie's next commit is refused."""

    def load(self, definition: Definition, keys: Sequence[object]) -> dict[object, dict[str, object]]: ...

    def load_under(
        self, definition: Definition, parents: Sequence[object], *, most: int | None = None
    ) -> dict[object, dict[str, object]]:
        """The rows whose keys begin with these (`definition.parent` says how many columns that is).

        All of them; or so many of each parent at `most`, whichever, where it has more.
        """

    def commit(self, definition: Definition, batch: Batch, *, epoch: int, now: dt.datetime) -> None:
        """Write rows, checkpoints and parked events in one transaction. Raises Fenced."""

    def checkpoints(self, projection: str, version: int) -> list[Checkpoint]: ...

    def parked(self, projection: str, version: int) -> list[ParkedEvent]:
        """By (topic, partition, sequence)."""

    def skipped(self, projection: str, version: int) -> list[SkippedEvent]:
        """The ledger of a version, by (topic, partition, sequence). Dropping the version leaves it."""

    def set_state(
        self, projection: str, version: int, state: str, detail: str, *, epoch: int, now: dt.datetime
    ) -> None:
        """Say how the version is doing. Leaving `building` sets when it was built. Raises Fenced."""

    def switch(self, projection: str, version: int) -> None:
        """Let reads go to this version from now on, at once for all. The former one keeps running until it is dropped."""

    def rows(self, definition: Definition, after: object | None, limit: int) -> list[dict[str, object]]:
        """Rows of a version in key order (text by code point), for comparisons."""

    def digest(self, definition: Definition) -> Digest:
        """Digest of a version's rows, read in one transaction with its positions, for `verify`."""

    def page(self, definition: Definition, after: object | None, limit: int) -> Page:
        """Rows as `rows` gives them, read in one transaction with the version's positions, for `verify`."""

    def close(self) -> None: ...


@runtime_checkable
class Shareable(ReadStore, Protocol):
    """A read store in which several processes write a version, each the partitions that it claimed. Optional."""

    def join(self, projection: str, version: int) -> int:
        """Write a version with others: the epoch that all of them have. Whoever had the whole is refused from then on."""

    def claim(
        self, projection: str, version: int, places: Sequence[tuple[str, int]], *, epoch: int
    ) -> list[Claim]:
        """Take over partitions (topic, number) of a version that several write; whoever had one is refused.

        Raises Fenced when somebody took over the whole since `epoch`, UsageError for a partition that it does not have.
        """

    def tell(
        self, projection: str, version: int, state: str, detail: str, *, epoch: int, now: dt.datetime
    ) -> None:
        """Say how all who write the version are doing, as `set_state`. Raises Fenced.

        Of a failed one it stays said until each partition was written since: looked at and written in one transaction.
        """

    def awaited(self, projection: str, version: int) -> dict[tuple[str, int], int]:
        """Partition to the sequence that it waits for although later ones have come, as those who write it together said."""

    def parked_count(self, projection: str, version: int) -> int: ...


@runtime_checkable
class SqlReads(Protocol):
    """A read store that answers SQL over the rows that serve, as `read_sql` of a capability asks it. Optional."""

    def query(
        self,
        sql: str,
        parameters: Mapping[str, object],
        *,
        projections: Sequence[str],
        versions: Mapping[str, int] | None = None,
        timeout: dt.timedelta,
    ) -> ViewAnswer:
        """Read through the views; `versions` reads other versions than the serving ones (a new version before its switch)."""
