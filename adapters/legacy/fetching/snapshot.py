"""Capture by `snapshot`: every interval, all rows are compared with what was seen of them last."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence

from adapters.legacy.fetching.capture import FetchingCapture, Schedule
from adapters.legacy.fetching.passes import Manner
from adapters.legacy.fetching.progress import Ended, Progress
from adapters.legacy.fetching.tables import Fetched
from adapters.legacy.fetching.watermarks import Window
from toolkit.inbox import Fetching
from toolkit.settings import duration


class SnapshotCapture(FetchingCapture):
    """State against last seen state: what was committed, and still stands when it is looked at, is found."""

    def _scheduled(self) -> dict[str, Schedule]:
        return {"sweep": Schedule(duration(self._section.snapshot.interval), at_once=True)}

    def _promised(self, progress: Progress) -> Iterable[Ended | None]:
        return [progress.swept]

    def _guarantees(self, tables: Sequence[Fetched]) -> dict[str, str]:
        interval = self._section.snapshot.interval
        return {
            "loss": "net changes only: what a row was between two looks is never known; what it is at a look is never missed",
            "deletes": "found by the same pass: every row that is kept is asked for by its key, and the engine says that it is gone. "
            "A row that comes back is an insert",
            "intermediate states": "none: a row that changed and changed back between two looks did not change",
            "stalls": f"nothing in the database. Watermarks are as old as the last pass that has ended: {interval} and its duration",
            "cost": f"every {interval} each captured row is read once, by key"
            + (", and its key once more when rows are gone" if tables else ""),
            **self._said(tables),
        }


def open_snapshot(fetching: Fetching) -> SnapshotCapture:
    """The factory of the entry point."""
    section = fetching.section
    manner = Manner(
        kind="snapshot",
        chunk=section.chunk,
        images=section.snapshot.keep == "image",
        whole_rows=True,
        window=Window(time=dt.timedelta(0), count=0),
    )
    return SnapshotCapture(fetching, manner)
