"""The inbox: where changes wait that are fetched from the source instead of being written beside its rows by triggers.

A fetching capture (poll, snapshot, debezium, wal) puts what it finds here together with the position it has come to, in
one transaction of the state database. From then on the changes are ours: numbered, offered until marked.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import msgspec

from toolkit.core.changes import Change
from toolkit.settings import LegacySection


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A row as it was when it was last looked at: what the next look is compared with.

    `key` sorts as text; `image` is the row's JSON, or its hash where only the fact of a change matters.
    """

    table: str
    key: str
    image: bytes


class Inbox(Protocol):
    """The fetched changes of one legacy source, and how far the fetching has come."""

    def position(self, name: str) -> str | None:
        """What was last put under this name; None before the first time."""

    def put(
        self,
        changes: Sequence[Change],
        *,
        moved: Mapping[str, tuple[str | None, str]],
        seen: Sequence[Seen] = (),
        gone: Sequence[tuple[str, str]] = (),
    ) -> list[Change]:
        """Store one step, in one transaction: changes in order, positions (name to old and new), rows seen, and (table, key)
        of rows that are gone. Returns the changes with their numbers.

        Raises Fenced when a position is not the old one any more: another process fetches, and nothing was stored.
        """

    def pending(
        self, limit: int, leave: Callable[[Change], bool] = lambda _: False, *, up_to: int | None = None
    ) -> list[Change]:
        """Changes by number, up to a number, without those to `leave`. What one transaction did to one subject is never
        cut in two.
        """

    def walk(self, after: int, limit: int) -> list[Change]:
        """Changes that are not marked with numbers above `after`: to look through all of them, page by page."""

    def of(self, subjects: Iterable[str]) -> list[Change]:
        """Changes of these subjects that are not marked, by number."""

    def waiting(self, up_to: int | None = None) -> int:
        """How many changes are not marked, up to this number?"""

    def last(self) -> int:
        """The highest number that was given."""

    def mark(self, numbers: Iterable[int]) -> None:
        """Never offer these again; they are deleted. Idempotent."""

    def seen(self, table: str, *, after: str = "", up_to: str | None = None, limit: int) -> list[Seen]:
        """Rows of a table as last seen, by key, above `after` and up to a key."""

    def find(self, table: str, keys: Iterable[str]) -> list[Seen]:
        """Rows of a table as last seen, by their whole keys."""

    def under(self, table: str, prefixes: Iterable[str]) -> list[Seen]:
        """Rows of a table as last seen, whose key begins with one of these texts, none of which begins another."""

    def forget(self) -> None:
        """Delete all of this source: changes, positions and rows seen. For the removal of capture."""


@runtime_checkable
class Underway(Protocol):
    """A capture that fetches in bounded steps, so that `pending` may give nothing although there is more to come."""

    def underway(self) -> bool:
        """Has something been begun whose end only further calls of `pending` will reach?"""


@runtime_checkable
class Beforehand(Protocol):
    """A capture whose changes begin with what was there before, so that a backfill has nothing to read."""

    def history(self) -> str:
        """Where that comes from, for a person."""


@runtime_checkable
class Repeating(Protocol):
    """A capture that may offer a change again under another number, long after the first time: only its position tells."""

    def repeats(self) -> bool:
        """May it?"""


@runtime_checkable
class Settling(Protocol):
    """A capture whose engine tells which transactions write."""

    def writers(self) -> str:
        """Those that write now, as a token."""

    def ended(self, token: str) -> bool:
        """Has every transaction of the token ended, one way or the other?"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetching:
    """What the factory of a fetching capture is given (entry points `strangler.capture`, by the name in strangler.toml)."""

    source: str
    url: str
    section: LegacySection
    inbox: Inbox
    log_url: str = ""
    """the project's log: where a capture that reads topics finds them unless it is told otherwise"""
    clock: Callable[[], dt.datetime] | None = None
    """the legacy source's clock"""
