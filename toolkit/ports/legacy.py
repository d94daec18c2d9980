"""The legacy source: guarded reads of it, and how its changes are captured."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable

import msgspec

from toolkit.core.changes import Change
from toolkit.core.shards import Shard
from toolkit.core.subjects import Columns, columns_of


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
    """A table to capture: the columns that hold its subject, whether it is an outbox, and what the settings say of it.

    `columns` are captured and no others (none: all), or all but those in `ignore`; `key` identifies a row where the
    table has no key of its own; `statement` asks for capture by statement where the engine has that.
    """

    table: str
    subject: Columns
    outbox: bool = False
    columns: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    key: tuple[str, ...] = ()
    statement: bool = False

    @property
    def subjects(self) -> tuple[str, ...]:
        """The columns that hold the subject."""
        return columns_of(self.subject)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What capture would install: printed before, executed to the letter, removed to the letter.

    `holes` are ways by which changes will escape it, as far as they are known before.
    """

    statements: tuple[str, ...]
    removal: tuple[str, ...]
    guarantees: dict[str, str]
    holes: tuple[Hole, ...] = ()


class Hole(msgspec.Struct, frozen=True, kw_only=True):
    """A way by which changes can escape capture, and what to do about it."""

    where: str
    what: str
    next: str
    escapes: bool = True
    """Not, where it only takes time: it is told all the same, and closes no gate."""


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

    def beside(self, installation: str | None) -> Cursor:
        """The same, unless capture was installed anew since it was made: then one that was never begun.

        What changed between a removal and a new installation is in no stream.
        """
        if self.installation in ("", installation):
            return self
        return Cursor(tables=self.tables, installation=installation or "")


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
        Changes to tables of a cursor that is not done are left out while their subject is not established; so they are
        where it was made beside another installation (`Cursor.beside`).
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


@runtime_checkable
class Divisible(Protocol):
    """A capture whose changes several leaders can take side by side, each those of its own subjects."""

    def only(self, shard: Shard) -> Capture:
        """The same for the leader of one shard: it is offered the changes of its own subjects, and counts no others."""


@runtime_checkable
class Exclusive(Protocol):
    """A capture that several may be about to install at once: a plan that is made alone is still true when it is installed."""

    def alone(self) -> AbstractContextManager[None]:
        """Nobody else plans to install, installs or removes meanwhile. Waits for who does; raises Refused when it takes too long."""


class LegacySource(LegacyReads, Protocol):
    """One legacy database."""

    name: str
    capture: Capture

    def close(self) -> None: ...
