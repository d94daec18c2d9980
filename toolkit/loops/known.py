"""The rows that a projector wrote last: who alone writes a version need not ask the store what is in them.

What is known here is true as long as the version is ours: whoever else writes its rows takes the epoch first, our next
commit is refused, and all of this is forgotten. Rows that were written and not yet committed are known, too.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from itertools import islice

Row = dict[str, object]

_BITS = 2**26
"""Of the filter, once it is needed: 8 MB, by which of 5,000,000 absent keys 93 % are known to be absent."""


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

    def lacking(self, keys: Iterable[object]) -> list[object]:
        """The keys that the store has to be asked for; each of the others has the row that is known, or none."""
        rows = self._rows
        return [key for key in keys if key not in rows and self._may_be_there(key)]

    def learn(self, rows: Mapping[object, Row | None]) -> None:
        """These were written, or found in the store."""
        self._rows.update(rows)

    def keep(self, count: int, uncommitted: Container[object] = ()) -> None:
        """Let the rows go that have been known longest, but none that the store does not have yet."""
        spare = len(self._rows) - count
        if spare <= 0:
            return
        old = (key for key in self._rows if key not in uncommitted)
        let_go = list(islice(old, spare))
        for key in let_go:
            del self._rows[key]
        if self._whole:
            self._remember(let_go)

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
