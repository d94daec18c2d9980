"""Where the subjects of waiting changes stand beside backfills that are not done: asked once, in the engine's own order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from toolkit.core.changes import Change
from toolkit.inbox import Inbox
from toolkit.ports import Cursor

_PAGE = 1000
Established = Callable[[Cursor, Iterable[str]], set[str]]
"""Which of the subjects has the cursor passed?"""


class _Group:
    """What was found out beside one place of a backfill."""

    def __init__(self, cursor: Cursor) -> None:
        self.cursor = cursor
        self.asked: set[str] = set()
        self.done: set[str] = set()


class Placing:
    """Keeps the subjects that wait in the inbox, by table, and which of them a backfill has passed."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._walked = 0
        self._waiting: dict[str, set[str]] = {}
        self._groups: dict[tuple[str, ...], _Group] = {}

    def known(self, tables: Sequence[str]) -> set[str]:
        """Subjects of these tables with changes that wait (or waited a while ago)."""
        self._walk()
        return {subject for table in tables for subject in self._waiting.get(table, ())}

    def left(self, cursors: Sequence[Cursor], established: Established) -> Callable[[Change], bool]:
        """The test for changes that have to wait for their subject's turn."""
        groups: dict[str, _Group] = {}
        for cursor in cursors:
            group = self._group(cursor)
            unknown = self.known(cursor.tables) - group.asked
            if unknown:
                group.asked |= unknown
                group.done |= established(cursor, unknown)
            groups.update(dict.fromkeys(cursor.tables, group))

        def leave(change: Change) -> bool:
            group = groups.get(change.table)
            return group is not None and change.subject not in group.done

        return leave

    def _group(self, cursor: Cursor) -> _Group:
        group = self._groups.get(cursor.tables)
        if group is None or group.cursor != cursor:
            group = self._groups[cursor.tables] = _Group(cursor)
        return group

    def _walk(self) -> None:
        """Look at what has come since the last time."""
        while page := self._inbox.walk(self._walked, _PAGE):
            for change in page:
                self._waiting.setdefault(change.table, set()).add(change.subject)
            self._walked = page[-1].number
