"""How far the looking has come: what is captured, the passes under way, and those that ended. Kept as one position."""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec

from toolkit.core.subjects import Columns

POSITION = "fetching"


class TableState(msgspec.Struct, frozen=True, kw_only=True):
    """One captured table. `rows` are kept of it; `whole` once its first pass has ended.

    `high` is where polls begin (less the window), `next_high` what the pass under way has come to. `blank` rows had no
    watermark when they were last walked, `ahead` says that one had a watermark of the future.
    """

    subject: Columns
    installed_at: str
    keys: tuple[str, ...]
    columns: tuple[str, ...]
    watermark: str = ""
    rows: int = 0
    whole: bool = False
    high: Any = None
    next_high: Any = None
    blank: int = 0
    ahead: bool = False


class Pass(msgspec.Struct, frozen=True, kw_only=True):
    """A pass over tables, of which the first is the one under way.

    A sweep walks its rows by key, and then (`gone`) looks for the rows that are kept. `after` is the last key, in a poll
    behind its watermark; `kept_after` the last name. `walked` rows were found, `lost` ones were kept and are gone.
    """

    began: dt.datetime
    tables: tuple[str, ...]
    covers: bool = True
    gone: bool = False
    after: list[Any] | None = None
    kept_after: str = ""
    walked: int = 0
    lost: int = 0
    blank: int = 0


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """The latest pass over all tables that ended: when it began, and the last number that was given by then."""

    began: dt.datetime
    number: int


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the next step needs to know. `installation` and `step` name a look for ever. `longest` is the longest open transaction that was seen, in seconds."""

    installation: str
    tables: dict[str, TableState]
    step: int = 0
    sweep: Pass | None = None
    poll: Pass | None = None
    swept: Ended | None = None
    polled: Ended | None = None
    longest: float = 0.0

    @property
    def whole(self) -> bool:
        """Has the first pass over every table ended?"""
        return all(table.whole for table in self.tables.values())

    def with_table(self, name: str, **values: object) -> Progress:
        """The same with other values of one table."""
        changed = msgspec.structs.replace(self.tables[name], **values)
        return msgspec.structs.replace(self, tables={**self.tables, name: changed})


def told(progress: Progress) -> str:
    """As a position."""
    return msgspec.json.encode(progress).decode()


_decode = msgspec.json.Decoder(Progress).decode


def read(position: str | None) -> Progress | None:
    """From a position; None before anything was installed."""
    return None if position is None else _decode(position)
