"""The rows that a projector wrote last: who alone writes a version need not ask the store what is in them.

What is known here is true as long as the version is ours: whoever else writes its rows takes the epoch first, our next
commit is refused, and all of this is forgotten. Rows that were written and not yet committed are known, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Row = dict[str, object]

_BITS = 2**26
"""Of the filter, once it is needed: 8 MB, by which of 5,000,000 absent keys 93 % are known to be absent."""


class KnownRows:
    """Rows by key, the last written last; None for a row that is known not to be there.

    `whole`: the table was empty when this began. Then a key that was never written has no row, and need not be looked
    for: a filter remembers the keys of the rows that were let go, so that what it does not know was never there.
    """

    def __init__(self, *, whole: bool = False) -> None:
        self._rows: dict[object, Row | None] = {}
        self._whole = whole
        self._gone: bytearray | None = None

    def __len__(self) -> int:
        return len(self._rows)

    def of(self, keys: Iterable[object]) -> tuple[dict[object, Row], list[object]]:
        """The rows of these keys, as far as they are known to be there, and the keys that the store has to be asked for."""
        found: dict[object, Row] = {}
        unknown: list[object] = []
        rows = self._rows
        for key in keys:
            row = rows.get(key)
            if row is not None:
                found[key] = row
            elif key not in rows and self._may_be_there(key):
                unknown.append(key)
        return found, unknown

    def learn(self, changed: Mapping[object, Row | None]) -> None:
        """These were written."""
        rows = self._rows
        for key, row in changed.items():
            rows.pop(key, None)
            rows[key] = row

    def keep(self, count: int) -> None:
        """Let the rows go that were written longest ago. Those that are not committed have to be among the kept ones."""
        spare = len(self._rows) - count
        if spare <= 0:
            return
        let_go = [key for key, _ in zip(self._rows, range(spare), strict=False)]
        for key in let_go:
            del self._rows[key]
        if self._whole:
            self._remember(let_go)

    def _may_be_there(self, key: object) -> bool:
        if not self._whole:
            return True
        if self._gone is None:
            return False
        at = hash(key) % _BITS
        return bool(self._gone[at >> 3] & (1 << (at & 7)))

    def _remember(self, keys: Iterable[object]) -> None:
        gone = self._gone = self._gone or bytearray(_BITS // 8)
        for key in keys:
            at = hash(key) % _BITS
            gone[at >> 3] |= 1 << (at & 7)
