"""The seam of the doctor: what an adapter that knows the ailments of its server implements, and what it is asked."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import msgspec

from toolkit.core.ailments import Ailment, Figure
from toolkit.ports import CapturedTable

Ask = Callable[[str, Mapping[str, object]], list[dict[str, object]]]
"""Run a read in a guarded session (read-only, limited in time); column names come back in lower case."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """From which figure on something is told."""

    transaction: dt.timedelta = dt.timedelta(seconds=60)
    """how long a transaction may be open"""
    blocked: dt.timedelta = dt.timedelta(seconds=5)
    """how long a session may stand in a lock's queue"""
    waiting: dt.timedelta = dt.timedelta(seconds=60)
    """how old a captured change, or a watermark, may become"""
    rows: int = 10_000
    """tables with fewer rows may be read from end to end"""
    dead: int = 10_000
    """dead rows below which nobody minds"""
    large: int = 20 << 30
    """bytes from which on a table of ours is worth a word"""
    retained: int = 1 << 30
    """bytes of log that a replication slot may hold back"""
    wal: int = 64 << 20
    """bytes to which the WAL of a SQLite file may grow"""
    free: float = 0.1
    """share of the connections that has to be left"""


USUAL = Limits()
"""What is told unless somebody asks for more, or for less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleRead:
    """A read to be explained with a key of its own; `parameters` gives None when there is no key to ask with."""

    capability: str
    sql: str
    parameters: Callable[[], Mapping[str, object] | None]
    file: str = "the read's SQL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """A server as the project uses it: what of it matters here."""

    where: str
    capture: str = ""
    """how changes are obtained from it; empty where none are"""
    slot: str = ""
    """the replication slot that the project names for it"""
    connections: int = 2
    """how many we open at most"""
    tables: tuple[CapturedTable, ...] = ()
    own: tuple[str, ...] = ()
    """tables of ours in it"""
    reads: tuple[SampleRead, ...] = ()
    limits: Limits = USUAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One question to one server. `needs` is the right without which it cannot be asked, as the statement that gives it."""

    where: str
    name: str
    ask: Callable[[], Iterable[Ailment]]
    needs: str = ""


@runtime_checkable
class Diagnosis(Protocol):
    """An adapter that knows the ailments of its server. Optional: one without it is examined through the other ports."""

    def checks(self, patient: Patient) -> Sequence[Check]:
        """What can be asked. The first question is answered if the server can be reached at all."""


class DatabaseDiagnosis(Diagnosis, Protocol):
    """The same for a database of ours, whose clock is compared, too."""

    def clock(self) -> dt.datetime:
        """The server's clock (UTC)."""


# --- the race ----------------------------------------------------------------------------------

AGGREGATE = "strangler.race"
"""The aggregate type that every row of a race carries."""
TABLE = "strangler_race"
"""The table of a race: it is made for it, and dropped after it."""

Mark = tuple[str, int]
"""A row of the race: its subject, and its number among the subject's rows, in the order in which they were written."""


class Writer(Protocol):
    """One session of the application."""

    def write(self, marks: Sequence[Mark]) -> None:
        """Insert rows in the open transaction."""

    def commit(self) -> None: ...

    def rollback(self) -> None: ...

    def close(self) -> None: ...


class Poller(Protocol):
    """A reader that asks again and again for what is new."""

    def poll(self) -> list[Mark]: ...

    def close(self) -> None: ...


class Track(Protocol):
    """A table of its own on one engine. Closing it drops the table, whatever happened."""

    settings: dict[str, Figure]
    """how the engine gives the numbers that pollers order by"""

    def statements(self) -> tuple[str, ...]:
        """What `open` executes."""

    def open(self) -> None:
        """Make the table. Raises Refused when there is one already."""

    def writer(self) -> Writer: ...

    def naive(self) -> Poller:
        """`WHERE id > last ORDER BY id`."""

    def ours(self) -> Poller:
        """Everything that is visible and not yet marked, in the order of its number; then it is marked."""

    def close(self) -> None: ...
