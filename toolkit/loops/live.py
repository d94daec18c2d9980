"""The live table against what its history gives, while projectors go on writing it.

A page of rows is read at one instant with the positions that it has, and history is folded on to just those: what an
event changed meanwhile is the same on both sides, and what somebody wrote by hand is not. No row is looked at twice, and
nobody is kept waiting.
"""

from __future__ import annotations

import time
from bisect import bisect_left, bisect_right, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from toolkit import commands
from toolkit.core.projections import Definition, row_json
from toolkit.loops.folding import Place
from toolkit.loops.refold import Past, Refold, sequences, unnoted
from toolkit.ports import Archive, Digest, Page, ReadStore, serving_of

PAGE = 1_000
EXAMPLES = 3
LISTED = 1_000
"""Rows that differ whose values are kept for who asks; the others are counted."""
COLUMNS, WIDTH = 5, 60
"""Of a row that differs, how many columns are shown, and how much of each value."""
LOOKS, LOOK_EVERY = 100, 0.1
"""How often, and after how many seconds, one looks whether the relay has noted what the view holds: it does so at once."""

Row = Mapping[str, object]


class Differing(msgspec.Struct, frozen=True, kw_only=True):
    """One value of the live table that is not what its events give; without a column: one of them has no row at all."""

    key: object
    column: str
    live: object
    given: object
    next: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What differs, of how many rows, in words (the first few), and why not all rows could be compared."""

    differing: tuple[Differing, ...] = ()
    rows: int = 0
    told: tuple[str, ...] = ()
    undecided: tuple[str, ...] = ()


def noted(archive: Archive, positions: Mapping[Place, int]) -> list[str]:
    """Wait, for a while, until history reaches as far as the view. Returns where it does not."""
    for _ in range(LOOKS):
        if not (told := unnoted(archive, positions)):
            return []
        time.sleep(LOOK_EVERY)
    return told


def mended_by(definition: Definition, key: object, *, serves: bool) -> str:
    """What brings a row back to what its events give. Single rows are folded again in the version that serves."""
    if serves:
        return commands.reproject(definition.name, [definition.key_text(key)])
    name, version = definition.name, definition.version
    return f"{commands.drop(name, version)}, then {commands.rebuild(name, version)}"


def compare(
    definition: Definition, store: ReadStore, archive: Archive, refold: Refold, begun: Digest
) -> Compared:
    """Walk through the live table. `refold` stands where `begun` does, and is folded on with the table."""
    return _Walk(definition, store, archive, refold, begun).through()


class _Walk:
    """One walk through the table in key order."""

    def __init__(
        self, definition: Definition, store: ReadStore, archive: Archive, refold: Refold, begun: Digest
    ) -> None:
        self._definition, self._store, self._archive, self._refold = definition, store, archive, refold
        self._at = sequences(begun.checkpoints)
        self._left_out = frozenset((*begun.parked, *begun.skipped))
        self._keys: list[Any] = sorted(refold.rows)
        self._new: list[Any] = []
        self._serves = serving_of(store.versions(definition.name)) == definition.version
        self._found: list[Differing] = []
        self._told: list[str] = []
        self._rows = 0

    def through(self) -> Compared:
        """All pages, or as far as it can be told."""
        after: object | None = None
        undecided: tuple[str, ...] = ()
        while True:
            page = self._store.page(self._definition, after, PAGE)
            if why := self._reach(page):
                where = (
                    f"from {self._definition.key_label} {after!r} on" if after is not None else "all of them"
                )
                undecided = (f"rows that are undecided: {where}", *why)
                break
            last = self._definition.key_in(page.rows[-1]) if page.rows else None
            self._compare(page.rows, after, last)
            if last is None:
                break
            after = last
        return Compared(
            differing=tuple(self._found), rows=self._rows, told=tuple(self._told), undecided=undecided
        )

    # --- history goes along with the table

    def _reach(self, page: Page) -> list[str]:
        """Fold on to where the page stands. Returns why that cannot be told."""
        at, left_out = sequences(page.checkpoints), frozenset((*page.parked, *page.skipped))
        if at.keys() != self._at.keys() or any(at[place] < self._at[place] for place in at):
            return ["the version was built anew meanwhile"]
        if told := noted(self._archive, {place: one for place, one in at.items() if one > self._at[place]}):
            return [*told, f"run `{commands.RELAY} --once`, or let the relay catch up, and ask again"]
        past = Past(self._archive, at, left_out, self._at, unheard=self._refold.unheard)
        for changed in self._refold.advance(past.in_order(PAGE)):
            self._enter(changed)
        # What was parked is in the rows now, or what was in them is parked: in which order, nobody noted.
        if not self._left_out <= left_out or not left_out - self._left_out <= past.passed:
            return [
                f"events that were parked were applied meanwhile, or rows folded again: see `{commands.PARKED}`"
            ]
        self._at, self._left_out = at, left_out
        return []

    def _enter(self, changed: Sequence[Any]) -> None:
        """Keys that history has by now and had not when this began."""
        for key in changed:
            if not _has(self._keys, key) and not _has(self._new, key):
                insort(self._new, key)

    # --- a page

    def _compare(self, page: Sequence[Row], after: object | None, last: object | None) -> None:
        rows = self._refold.rows
        live: dict[Any, Row] = {self._definition.key_in(row): row for row in page}
        ours = [*_between(self._keys, after, last), *_between(self._new, after, last)]
        for key in sorted({*live, *ours}):
            mine, given = live.get(key), rows.get(key)
            if _text(mine) != _text(given):
                self._note(key, mine, given)

    def _note(self, key: object, live: Row | None, given: Row | None) -> None:
        self._rows += 1
        if self._rows > LISTED:
            return
        again = mended_by(self._definition, key, serves=self._serves)
        if live is None or given is None:
            pairs: dict[str, tuple[object, object]] = {"": (live, given)}
        else:
            pairs = {
                name: (live[name], given[name])
                for name in given
                if row_json({name: live[name]}) != row_json({name: given[name]})
            }
        self._found += [
            Differing(key=key, column=column, live=mine, given=theirs, next=again)
            for column, (mine, theirs) in pairs.items()
        ]
        if self._rows <= EXAMPLES:
            self._told.append(
                f"the live table: {self._definition.key_label} {key!r}: {_values(pairs)} ({again})"
            )


def _text(row: Row | None) -> bytes | None:
    """What digests are taken over: 1.0 is not 1.00 there."""
    return None if row is None else row_json(row)


def _has(keys: list[Any], key: Any) -> bool:
    at = bisect_left(keys, key)
    return at < len(keys) and keys[at] == key


def _between(keys: list[Any], after: object | None, last: object | None) -> list[Any]:
    """The keys behind one of the table, up to another one; None: from the first on, or to the last."""
    begin = 0 if after is None else bisect_right(keys, after)
    end = len(keys) if last is None else bisect_right(keys, last)
    return keys[begin:end]


def _values(pairs: Mapping[str, tuple[object, object]]) -> str:
    if "" in pairs:
        has = pairs[""][0] is not None
        return (
            "there is a row, and its events give none" if has else "there is no row, and its events give one"
        )
    told = [
        f"{name} is {shortened(live)}, and its events give {shortened(given)}"
        for name, (live, given) in list(pairs.items())[:COLUMNS]
    ]
    more = len(pairs) - len(told)
    return ", ".join(told) + (f", and {more} more columns" if more else "")


def shortened(value: object) -> str:
    """As much of a value as a line has room for."""
    text = repr(value)
    return text if len(text) <= WIDTH else f"{text[:WIDTH]}..."
