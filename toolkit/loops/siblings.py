"""Which rows a parent has, as far as rows were seen: what an event about all of them needs to know."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from toolkit.core.projections import Definition

Under = Callable[[object], Iterable[object]]
"""The keys of a parent's rows; some of them may have no row any more."""


def nobody(_parent: object) -> Iterable[object]:
    """No parent has rows."""
    return ()


class Siblings:
    """The keys of rows by their parent."""

    def __init__(self, definition: Definition) -> None:
        self._parent_in = definition.parent_in
        self._keys: dict[object, dict[object, None]] = {}

    def add(self, keys: Iterable[object]) -> None:
        """Rows were seen."""
        for key in keys:
            self._keys.setdefault(self._parent_in(key), {})[key] = None

    def remove(self, keys: Iterable[object]) -> list[object]:
        """Rows are known no more. Returns their parents, each once."""
        parents: dict[object, None] = {}
        for key in keys:
            parent = self._parent_in(key)
            parents[parent] = None
            some = self._keys.get(parent, {})
            some.pop(key, None)
            if not some:
                self._keys.pop(parent, None)
        return list(parents)

    def under(self, parent: object) -> Iterable[object]:
        """The keys of the parent's rows."""
        return self._keys.get(parent, ())
