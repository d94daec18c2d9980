"""Bring versions up to date, and stop: the log is read once for all of them, as by those who go on reading."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from toolkit.core.errors import NotAll
from toolkit.loops.group import Group, Member
from toolkit.loops.keeping import Advanced, Pace
from toolkit.loops.project import Projector
from toolkit.ports import Log


@dataclass(slots=True)
class Done:
    """What it came to for one version."""

    applied: int = 0
    parked: int = 0

    def add(self, step: Advanced) -> None:
        """Another batch."""
        self.applied += step.applied
        self.parked += step.parked


def catch_up(
    projectors: Sequence[Projector], log: Log, topics: Mapping[str, int], pace: Pace
) -> dict[str, Done]:
    """Apply what the log has, by version; each is this process's own.

    One that cannot read with the others, or stands far behind them, reads alone afterwards. What is wrong with one keeps no
    other from it: it is raised once all are through, and NotAll where it is several.
    """
    found = {one.definition.identity: Done() for one in projectors}
    through = _together(projectors, found, log, topics, pace) if len(projectors) > 1 else set()
    failures: dict[str, Exception] = {}
    for projector in projectors:
        identity = projector.definition.identity
        if identity in through:
            continue
        try:
            projector.start()
            while (step := projector.advance()).deliveries:
                found[identity].add(step)
        except Exception as error:  # noqa: BLE001 - raised once the others are through
            failures[identity] = error
    if len(failures) > 1:
        first = next(iter(failures.values()))
        told = f"{len(failures)} of {len(projectors)} versions were not brought up to date"
        raise NotAll(told, failures) from first
    for failed in failures.values():
        raise failed
    return found


def _together(
    projectors: Sequence[Projector],
    found: Mapping[str, Done],
    log: Log,
    topics: Mapping[str, int],
    pace: Pace,
) -> set[str]:
    """The versions that have read all that there is."""
    members = [made for one in projectors if (made := _member(one, found[one.definition.identity]))]
    coming = iter([members])
    Group(log, topics, pace, lambda: next(coming, []), wait=None, patient=False).run()
    return {one.keeper.definition.identity for one in members if one.error is None and one.stop.is_set()}


def _member(projector: Projector, done: Done) -> Member | None:
    """One that reads with the others; None when it cannot even begin: alone, it says why."""
    stop = threading.Event()

    def report(step: Advanced) -> None:
        done.add(step)
        if not step.deliveries:
            stop.set()

    try:
        projector.keeper.take_over()
    except Exception:  # noqa: BLE001 - it is asked again
        return None
    return Member(keeper=projector.keeper, stop=stop, report=report)
