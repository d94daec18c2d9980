"""The rows that a projector wrote last: who alone writes a version need not ask the store what is in them.

What is known here is true as long as the version is ours: whoever else writes its rows takes the epoch first, our next
commit is refused, and all of this is forgotten. Rows that were written and not yet committed are known, too.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from itertools import islice

from toolkit.core.projections import Definition
from toolkit.loops import folding
from toolkit.loops.folding import Step
from toolkit.loops.siblings import Siblings
from toolkit.ports import ReadStore

Row = dict[str, object]

_BITS = 2**26
"""Of the filter, once it is needed: 8 MB, by which of 5,000,000 absent keys 93 % are known to be absent."""


_BESIDE = 60
"""Bytes that a row takes besides itself and its values: its place among the others. Its key is one of its values."""


def weight(row: Mapping[str, object]) -> int:
    """Bytes that a row takes in memory, about: what the interpreter says of it and of its values, however deep."""
    return _BESIDE + _size(row)


def _size(value: object) -> int:
    if value is None or (isinstance(value, int) and -5 <= value <= 256):
        return 0  # there is one of each
    within: Iterable[object] = ()
    if isinstance(value, Mapping):
        within = value.values()  # the columns' names are there once for all rows
    elif isinstance(value, (list, tuple)):
        within = value
    return sys.getsizeof(value) + sum(map(_size, within))


class KnownRows:
    """Rows by key; None for a row that is known not to be there.

    `whole`: the table was empty when this began. Then a key that was never written has no row, and need not be looked
    for: a filter remembers the keys of the rows that were let go, so that what it does not know was never there.
    """

    def __init__(self, *, whole: bool = False) -> None:
        self._rows: dict[object, Row | None] = {}
        self._whole = whole
        self._gone: bytearray | None = None

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def rows(self) -> Mapping[object, Row | None]:
        """What is known."""
        return self._rows

    @property
    def all(self) -> bool:
        """Is every row known that there is?"""
        return self._whole and self._gone is None

    def lacking(self, keys: Iterable[object], known: Container[object] | None = None) -> list[object]:
        """The keys that the store has to be asked for; each of the others has the row that is known, or none.

        `known` are other keys than those of rows, for which the same is asked.
        """
        if self.all:
            return []
        there = self._rows if known is None else known
        return [key for key in keys if key not in there and self._may_be_there(key)]

    def look_up(self, definition: Definition, steps: Sequence[Step], store: ReadStore) -> None:
        """Ask the store for what is not known of the rows that the steps are about."""
        if not self.all and (lacking := self.lacking(folding.keys(steps))):
            self.learn(store.load(definition, lacking))

    def learn(self, rows: Mapping[object, Row | None]) -> None:
        """These were written, or found in the store."""
        self._rows.update(rows)

    def under(self, _parent: object) -> Iterable[object]:
        """No row has a parent here."""
        return ()

    def keep(self, count: int, uncommitted: Container[object] = ()) -> None:
        """Let the rows go that have been known longest, but none that the store does not have yet."""
        spare = len(self._rows) - count
        if spare <= 0:
            return
        old = (key for key in self._rows if key not in uncommitted)
        self._let_go(list(islice(old, spare)))

    def _let_go(self, keys: Iterable[object]) -> None:
        for key in keys:
            del self._rows[key]
        if self._whole:
            self._remember(keys)

    def _may_be_there(self, key: object) -> bool:
        if not self._whole or self._gone is None:
            return not self._whole
        at = hash(key) % _BITS
        return bool(self._gone[at >> 3] & (1 << (at & 7)))

    def _remember(self, keys: Iterable[object]) -> None:
        gone = self._gone = self._gone or bytearray(_BITS // 8)
        for key in keys:
            at = hash(key) % _BITS
            gone[at >> 3] |= 1 << (at & 7)


class KnownFamilies(KnownRows):
    """The same where an event may be about all rows of a parent: it knows of which parents it knows all rows."""

    def __init__(self, definition: Definition, *, whole: bool = False) -> None:
        super().__init__(whole=whole)
        self._siblings = Siblings(definition)
        self._all_known: set[object] = set()

    def look_up(self, definition: Definition, steps: Sequence[Step], store: ReadStore) -> None:
        """Ask the store for the rows that the steps name, and for all rows of the parents that they are wholly about."""
        if self.all:
            return
        if asked := self.lacking(folding.wide(steps), self._all_known):
            self._look_under(definition, asked, steps, store)
        if lacking := self.lacking(folding.row_keys(steps)):
            self.learn(store.load(definition, lacking))

    def _look_under(
        self, definition: Definition, parents: Sequence[object], steps: Sequence[Step], store: ReadStore
    ) -> None:
        """Of a parent with too many rows for an event about all of them, no more is read than shows that.

        Some of the store's rows may have gone since, or go in these steps: those whose keys are known, or named by a
        step. With as many more, what is left is too many at each of these steps, and each is parked, as if all were read.
        """
        named = len(folding.row_keys(steps)) + max(len(list(self.under(parent))) for parent in parents)
        most = definition.parent_limit + named
        there = store.load_under(definition, parents, most=most + 1)
        self.learn({key: row for key, row in there.items() if key not in self._rows})
        counts = Counter(map(definition.parent_in, there))
        self._all_known.update(parent for parent in parents if counts[parent] <= most)

    def learn(self, rows: Mapping[object, Row | None]) -> None:
        """These were written, or found in the store."""
        super().learn(rows)
        self._siblings.add(rows)

    def under(self, parent: object) -> Iterable[object]:
        """The keys of the parent's rows: all of them, once it was looked up."""
        return self._siblings.under(parent)

    def keep(self, count: int, uncommitted: Container[object] = ()) -> None:
        """Let rows go, and with them the certainty that all of their parents' are known."""
        super().keep(count, uncommitted)
        if len(self._all_known) > count:
            self._all_known.clear()

    def _let_go(self, keys: Iterable[object]) -> None:
        super()._let_go(keys)
        parents = self._siblings.remove(keys)
        self._all_known.difference_update(parents)
        if self._whole:
            self._remember(parents)


def known_rows(definition: Definition, *, whole: bool = False) -> KnownRows:
    """What is known of a projection's rows at first: nothing, or that there are none."""
    return KnownFamilies(definition, whole=whole) if definition.parent else KnownRows(whole=whole)
