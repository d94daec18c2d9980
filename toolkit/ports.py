"""The seams: what the loops need of the outside world. `adapters/` implements each, tests fake none of them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import msgspec

from toolkit.core.changes import Change
from toolkit.core.evidence import Rehearsal, RunSummary, Verification, Waiver
from toolkit.core.projections import Definition
from toolkit.core.records import Delivery, Draft, Record, Run, Watermark
from toolkit.core.routes import Move, Moved, Route
from toolkit.core.unclassified import Shape, Unclassified


class Clock(Protocol):
    """The wall clock of this machine, in UTC. Only for leases, durations and stamps of our own rows."""

    def __call__(self) -> dt.datetime: ...


# --- the legacy source -------------------------------------------------------------------------


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of a read with the instant, on the legacy source's clock, taken right after the read."""

    rows: list[dict[str, object]]
    instant: dt.datetime


class LegacyReads(Protocol):
    """Guarded reads: read-only sessions, a statement timeout, bounded concurrency."""

    def clock(self) -> dt.datetime:
        """The source's own clock (UTC)."""

    def query(self, sql: str, parameters: Mapping[str, object], *, timeout: dt.timedelta) -> Answer:
        """Run a read. Column names come back lower case. Raises ReadTimeout, Infrastructure."""


class CapturedTable(msgspec.Struct, frozen=True, kw_only=True):
    """A table to capture: the column that holds its subject, whether it is an outbox, and what the settings say of it.

    `columns` are captured and no others (none: all), or all but those in `ignore`; `key` identifies a row where the
    table has no key of its own; `statement` asks for capture by statement where the engine has that.
    """

    table: str
    subject: str
    outbox: bool = False
    columns: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    key: tuple[str, ...] = ()
    statement: bool = False


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What capture would install: printed before, executed to the letter, removed to the letter."""

    statements: tuple[str, ...]
    removal: tuple[str, ...]
    guarantees: dict[str, str]


class Hole(msgspec.Struct, frozen=True, kw_only=True):
    """A way by which changes can escape capture, and what to do about it."""

    where: str
    what: str
    next: str


class Horizon(msgspec.Struct, frozen=True, kw_only=True):
    """An instant and the engine's token for "all that was committed then" (a PostgreSQL snapshot; SQLite's last id).

    The instant was read from the source's clock before the token, so the token covers the instant.
    """

    instant: dt.datetime
    token: str


class Cursor(msgspec.Struct, frozen=True, kw_only=True):
    """How far a backfill has come in one group of tables that share their subjects.

    Subjects up to and including `after` are established: their rows were read, and their changes flow.
    None: none is. `done`: all are. `installation` names the capture beside which it was made: what changed between
    its removal and a new installation is in no stream.
    """

    tables: tuple[str, ...]
    after: str | None = None
    done: bool = False
    installation: str = ""


class Chunk(msgspec.Struct, frozen=True, kw_only=True):
    """One backfill step: the rows of a range of subjects in one snapshot, as `snapshot` changes.

    `absorbed` are the numbers of the captured, unmarked changes of these subjects that the same snapshot
    saw: the rows contain their effect, so they must never be translated.
    """

    changes: list[Change]
    absorbed: list[int]
    cursor: Cursor


class Capture(Protocol):
    """How changes are obtained, and given back as marked once they are safe."""

    def plan(self, tables: Sequence[CapturedTable]) -> Plan: ...

    def install(self, plan: Plan) -> None: ...

    def remove(self, plan: Plan) -> None: ...

    def installed(self) -> tuple[str, ...]:
        """Tables that are captured now."""

    def installation(self, tables: Sequence[str]) -> str | None:
        """Since when these tables have been captured together, as a name; None when one of them is not captured."""

    def holes(self) -> list[Hole]: ...

    def horizon(self) -> Horizon: ...

    def pending(self, limit: int, cursors: Sequence[Cursor]) -> list[Change]:
        """Visible, unmarked changes by number. What one legacy transaction did to one subject is never cut in two.

        So fewer than `limit` may come although there are more (the cut ones come next time), and more only where one
        transaction did more to one subject. None come only when there is none.
        Changes to tables of a cursor that is not done are left out while their subject is not established.
        """

    def behind(self, horizon: Horizon) -> int:
        """How many unmarked changes does the horizon cover?"""

    def mark(self, numbers: Iterable[int]) -> None:
        """Never offer these changes again. Idempotent."""

    def count(self, tables: Sequence[CapturedTable], cursor: Cursor) -> int:
        """Roughly how many subjects a backfill of these tables still has to read, for progress and ETA."""

    def chunk(self, tables: Sequence[CapturedTable], cursor: Cursor, size: int) -> Chunk:
        """Read the next `size` subjects of the first table, and all rows of the others in that range, in one snapshot.

        Fewer subjects where the others have very many rows for them. The last chunk of a group has no upper bound, so that rows without a parent are found too.
        """

    def close(self) -> None:
        """Give back what only capture holds."""


class LegacySource(LegacyReads, Protocol):
    """One legacy database."""

    name: str
    capture: Capture

    def close(self) -> None: ...


# --- the archive and the log -------------------------------------------------------------------


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

    def parked_subjects(self, source: str) -> set[str]:
        """Subjects with a parked change: what their views cannot know of."""

    def unpublished(self, topic: str, limit: int) -> list[Record]:
        """Records without coordinates, by (partition, sequence), evenly over partitions."""

    def published(self, topic: str, runs: Sequence[Run], *, source: str, epoch: int) -> None:
        """Note where the log keeps what it acknowledged, in order. Coordinates never change afterwards."""

    def backlog(self, topic: str) -> int: ...

    def last_sequences(self, topic: str) -> dict[int, int]:
        """Partition to the highest sequence archived."""

    def watermarked(self, topic: str, as_of: dt.datetime, *, source: str, epoch: int) -> None:
        """Note the instant of the last watermark sent (for status: is the relay alive?)."""

    def last_watermark(self, topic: str) -> dt.datetime | None: ...

    def scan(self, topic: str, after: Mapping[int, int], limit: int) -> list[Delivery]:
        """Published records with a sequence above `after[partition]`, by (partition, sequence): what a rebuild reads."""

    def of_subject(self, topic: str, subject: str) -> list[Record]:
        """All published records of one subject, by (partition, sequence): what the repair of one row reads."""

    def touched(self, topic: str, since: dt.datetime) -> set[str]:
        """Subjects with an event whose time is `since` or later."""


class UnclassifiedLedger(Protocol):
    """What was read and gave nothing, by shape."""

    def of(self, source: str) -> list[Unclassified]: ...

    def answer(self, source: str, shape: Shape, owner: str, reason: str, now: dt.datetime) -> None: ...


class Leases(Protocol):
    """One leader per piece of work; the epoch fences the former one."""

    def acquire(self, name: str, owner: str, ttl: dt.timedelta, now: dt.datetime) -> int:
        """Take the lease and return its new epoch. Raises LeaseHeld while another's has not run out."""

    def renew(self, name: str, epoch: int, ttl: dt.timedelta, now: dt.datetime) -> None:
        """Raises Fenced when the epoch is no longer ours."""

    def release(self, name: str, epoch: int, now: dt.datetime) -> None: ...


class LeaseState(msgspec.Struct, frozen=True, kw_only=True):
    """A lease as anybody may see it."""

    name: str
    owner: str
    epoch: int
    expires_at: dt.datetime


class LeaseList(Protocol):
    """Who leads what, for the overview."""

    def leases(self) -> list[LeaseState]:
        """Every lease that was ever taken; those that ran out, too."""


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


# --- the read store ----------------------------------------------------------------------------


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """How far one version of a projection has come in one partition."""

    topic: str
    partition: int
    next_offset: int = 0
    sequence: int = 0
    as_of: dt.datetime | None = None


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


class VersionState(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a projection as the read store knows it."""

    projection: str
    version: int
    serving: bool
    epoch: int
    state: str
    """building | running | waiting (for events that the log has not given yet) | failed | retired"""
    built_at: dt.datetime | None = None
    updated_at: dt.datetime | None = None
    detail: str = ""


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """All that one projector step changes, written in one transaction."""

    upserts: list[dict[str, object]] = []
    deletes: list[object] = []
    checkpoints: list[Checkpoint] = []
    parked: list[ParkedEvent] = []
    unparked: list[str] = []
    """ids of parked events that were applied after all"""


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
    """ids of the events whose effect is not in the rows"""


class ReadStore(Protocol):
    """Where projections live. SQL stores first; the port is what a search index or a cache would implement."""

    def create(self, definition: Definition, topics: Mapping[str, int], now: dt.datetime) -> VersionState:
        """Create table and checkpoints of a version (topic to its number of partitions); serves if it is the first.

        What is there already stays. Raises UsageError when the table has other columns than the definition.
        """

    def drop(self, projection: str, version: int) -> None:
        """Remove a version with its table. Raises Refused while it serves."""

    def versions(self, projection: str | None = None) -> list[VersionState]: ...

    def seize(self, projection: str, version: int) -> int:
        """Take over a version for writing: raises and returns its epoch. A zombie's next commit is refused."""

    def load(self, definition: Definition, keys: Sequence[object]) -> dict[object, dict[str, object]]: ...

    def commit(self, definition: Definition, batch: Batch, *, epoch: int, now: dt.datetime) -> None:
        """Write rows, checkpoints and parked events in one transaction. Raises Fenced."""

    def checkpoints(self, projection: str, version: int) -> list[Checkpoint]: ...

    def parked(self, projection: str, version: int) -> list[ParkedEvent]:
        """By (topic, partition, sequence)."""

    def set_state(
        self, projection: str, version: int, state: str, detail: str, *, epoch: int, now: dt.datetime
    ) -> None:
        """Say how the version is doing. Leaving `building` sets when it was built. Raises Fenced."""

    def switch(self, projection: str, version: int) -> None:
        """Point the view at this version, in one transaction. The former one keeps running until it is dropped."""

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

    def rows(self, definition: Definition, after: object | None, limit: int) -> list[dict[str, object]]:
        """Rows of a version in key order (text by code point), for comparisons."""

    def digest(self, definition: Definition) -> Digest:
        """Digest of a version's rows, read in one transaction with its positions, for `verify`."""

    def close(self) -> None: ...


# --- routes and the evidence that their gates look at ------------------------------------------


class RouteStore(Protocol):
    """Where reads go, and the append-only history of how that came about."""

    def get(self, capability: str, consumer: str = "*") -> Route:
        """The consumer's own route, else that of `*`, else the default (legacy, revision 0)."""

    def all(self) -> list[Route]: ...

    def apply(self, move: Move, now: dt.datetime) -> Route:
        """Write the move and its history line in one transaction. Applying the same move again changes nothing.

        Raises Refused when the route is no longer as `move.was` says: plan again.
        """

    def history(self, capability: str, limit: int = 20) -> list[Moved]:
        """The latest moves, newest first."""


class Waivers(Protocol):
    """The waivers alone: all that a read needs of the evidence."""

    def waivers(self, capability: str | None = None) -> list[Waiver]:
        """All waivers that were granted, expired ones too."""


class Evidence(Waivers, Protocol):
    """What was found out about a capability, for its gates and its guard."""

    def last_run(self, capability: str, config_hash: str, now: dt.datetime) -> RunSummary | None:
        """The latest shadow run under this configuration, its acceptances as they stand at `now`."""

    def last_verification(self, projection: str, version: int) -> Verification | None: ...

    def last_rehearsal(self, capability: str, consumer: str) -> Rehearsal | None: ...

    def save_rehearsal(self, rehearsal: Rehearsal) -> None: ...

    def grant(self, waiver: Waiver, now: dt.datetime) -> None:
        """Store a waiver in place of a former one for the same capability and gate."""
