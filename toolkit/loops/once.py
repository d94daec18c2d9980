"""Bring versions up to date, and stop: the log is read once for all of them, as by those who go on reading."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
    """Apply what the log has, by version; each is this process's own. Raises what is wrong with one once all others are through.

    One that cannot read with the others, or stands far behind them, reads alone afterwards.
    """
    found = {one.definition.identity: Done() for one in projectors}
    through = _together(projectors, found, log, topics, pace) if len(projectors) > 1 else set()
    for projector in projectors:
        identity = projector.definition.identity
        if identity not in through:
            projector.start()
            while (step := projector.advance()).deliveries:
                found[identity].add(step)
    return found


def _together(
    projectors: Sequence[Projector],
    found: Mapping[str, Done],
    log: Log,
    topics: Mapping[str, int],
    pace: Pace,
) -> set[str]:
    """The versions that have read all that there is."""
    members = [_member(one, found[one.definition.identity]) for one in projectors]
    coming = iter([members])
    Group(log, topics, pace, lambda: next(coming, []), wait=None, patient=False).run()
    return {one.keeper.definition.identity for one in members if one.error is None and one.stop.is_set()}


def _member(projector: Projector, done: Done) -> Member:
    stop = threading.Event()

    def report(step: Advanced) -> None:
        done.add(step)
        if not step.deliveries:
            stop.set()

    projector.keeper.take_over()
    return Member(keeper=projector.keeper, stop=stop, report=report)
