"""Is the history of a source read? Before it is, its changes wait, nothing is promised, and who runs a command should know."""

from __future__ import annotations

from collections.abc import Sequence

from toolkit import commands
from toolkit.ports import Archive, CapturedTable, Cursor


def unread(source: str, cursors: Sequence[Cursor]) -> str:
    """What waits for the backfill, and the command that goes on with it; empty when all was read, or skipped."""
    fresh = [table for one in cursors if not one.done and one.after is None for table in one.tables]
    begun = [table for one in cursors if not one.done and one.after is not None for table in one.tables]
    said = []
    if fresh:
        said.append(f"the backfill of {', '.join(fresh)} was not begun: their changes wait")
    if begun:
        said.append(
            f"the backfill of {', '.join(begun)} is not done: changes of subjects that it has not come to wait"
        )
    if not said:
        return ""
    return f"{'; '.join(said)}, and nothing is promised; next: {commands.backfill(source)}"


def unread_in(archive: Archive, source: str, groups: Sequence[Sequence[CapturedTable]]) -> str:
    """The same as far as the archive knows, without a word from the source."""
    known = {one.tables: one for one in archive.cursors(source)}
    names = [tuple(table.table for table in group) for group in groups]
    return unread(source, [known.get(one) or Cursor(tables=one) for one in names])
