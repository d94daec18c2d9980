"""`strangler backfill` as a process that kills itself, as kill -9 does, at one call of one function: before it, or after."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from typing import Any

from adapters.legacy.capture import TriggerCapture
from adapters.legacy.mariadb.capture import MariadbCapture
from adapters.state.archive import SqlArchive
from toolkit.cli.app import run

PLACES: dict[str, tuple[Any, ...]] = {
    "chunk": (TriggerCapture,),
    "append": (SqlArchive,),
    "mark": (TriggerCapture, MariadbCapture),
}
"""Functions by name, and who has them."""


def arm(place: str, when: str, at: int) -> None:
    """Die at the `at`-th call of the place."""
    calls = iter(range(1, 1_000_000))
    for owner in PLACES[place]:
        _make_deadly(owner, place, when, at, calls)


def _make_deadly(owner: Any, name: str, when: str, at: int, calls: Iterator[int]) -> None:
    real = getattr(owner, name)

    def deadly(*arguments: Any, **options: Any) -> Any:
        now = next(calls) == at
        if now and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        given = real(*arguments, **options)
        if now:
            os.kill(os.getpid(), signal.SIGKILL)
        return given

    setattr(owner, name, deadly)


if __name__ == "__main__":
    folder, place, when, at = sys.argv[1:]
    if place:
        arm(place, when, int(at))
    sys.exit(run(["backfill", "--json", "--project", folder]))
