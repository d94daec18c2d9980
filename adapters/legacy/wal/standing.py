"""What is remembered of a log that is read: which installation it is, and how far it was read."""

from __future__ import annotations

import datetime as dt

import msgspec

from adapters.legacy.images import Captured, Chosen
from toolkit.core.subjects import Columns, columns_of
from toolkit.inbox import Inbox

INSTALLATION, POSITION = "wal.installation", "wal.position"
"""The names of both in the inbox."""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """One installation: a slot of one server's one history. `tables` came to be captured at these instants, `read` so."""

    slot: str
    system: str
    timeline: str
    since: dt.datetime
    tables: dict[str, dt.datetime]
    read: dict[str, str] = {}

    def since_when(self, watched: Watched) -> dt.datetime | None:
        """Since when this very table has been captured so; None when its rows would now be found under other names."""
        known = self.read.get(watched.table, watched.reading)
        return self.tables.get(watched.table) if known == watched.reading else None

    @property
    def stamp(self) -> str:
        """In every position: a place in the log names a change only within one installation."""
        return f"{self.since:%Y%m%dT%H%M%S%f}"


class Last(msgspec.Struct, frozen=True, kw_only=True):
    """The last transaction that was read whole: met again, it must be the same, or the history is another one."""

    lsn: int
    xid: int
    at: int


class Open(msgspec.Struct, frozen=True, kw_only=True):
    """A transaction too large for one step: so many of its messages are in the inbox, above this number, not offered yet."""

    lsn: int
    messages: int
    number: int


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """How far the log was read: everything that ends at or before `lsn` is in the inbox, or concerns us not."""

    lsn: int
    last: Last | None = None
    open: Open | None = None
    stopped: str = ""
    """what stands there that cannot be read, and is not passed over in silence"""
    truncated: tuple[str, ...] = ()
    """what was passed over aloud: reading goes on, and nothing is promised any more"""


class Watched(msgspec.Struct, frozen=True, kw_only=True):
    """A captured table as the publication's comment keeps it.

    `identities` are the relations whose replica identity was changed, each with what it was before.
    """

    table: str
    relation: str
    subject: Columns
    outbox: bool
    keys: tuple[str, ...]
    columns: tuple[str, ...]
    oid: int
    partitioned: bool = False
    chosen: Chosen = Chosen()
    identities: tuple[tuple[str, str], ...] = ()

    @property
    def subjects(self) -> tuple[str, ...]:
        """The columns that hold the subject."""
        return columns_of(self.subject)

    @property
    def reading(self) -> str:
        """Which table it is, and what its rows are called by."""
        return encoded(
            msgspec.structs.replace(self, columns=(), partitioned=False, chosen=Chosen(), identities=())
        )

    def captured(self, standing: Standing | None) -> Captured:
        """The table as the rest of capture knows it."""
        return Captured(
            table=self.table,
            relation=self.relation,
            subject=self.subject,
            outbox=self.outbox,
            keys=self.keys,
            columns=self.columns,
            chosen=self.chosen,
            installed_at=standing.tables.get(self.table) if standing else None,
        )


def standing_of(inbox: Inbox) -> Standing | None:
    """The installation that this project made; None when it made none."""
    text = inbox.position(INSTALLATION)
    return None if text is None else msgspec.json.decode(text, type=Standing)


def position_of(text: str | None) -> Position:
    """The position as it was put. An installation without one has read nothing."""
    return Position(lsn=0) if text is None else msgspec.json.decode(text, type=Position)


def encoded(value: msgspec.Struct) -> str:
    """As the inbox, or the publication's comment, keeps it."""
    return msgspec.json.encode(value).decode()


def registry_of(comment: str | None) -> dict[str, Watched]:
    """The captured tables, by name, from the publication's comment. A comment of somebody else's is none of ours."""
    try:
        tables = msgspec.json.decode(comment or "[]", type=list[Watched])
    except msgspec.DecodeError:
        return {}
    return {one.table: one for one in sorted(tables, key=lambda one: one.table)}


def comment_of(tables: dict[str, Watched]) -> str:
    """The publication's comment that keeps these tables."""
    return msgspec.json.encode([tables[name] for name in sorted(tables)]).decode()


def lsn(place: int) -> str:
    """A place in the log as PostgreSQL spells it."""
    return f"{place >> 32:X}/{place & 0xFFFFFFFF:X}"
