"""Compare clocks: how far a server's is from this machine's, and how surely that is known."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator

from toolkit.core.ailments import Ailment, Severity
from toolkit.ports import Clock

_NOTICED = 10
"""A tenth of the shortest objective is worth a hint."""
_LEAST = dt.timedelta(seconds=1)


def skew(
    where: str, theirs: Callable[[], dt.datetime], ours: Clock, shortest: dt.timedelta
) -> Iterator[Ailment]:
    """A clock that is away from ours by more than the shortest freshness objective, or by much of it.

    Lag is measured on the legacy source's own clock alone; leases, retention and "today" stand on the others.
    """
    before = ours()
    there = theirs()
    after = ours()
    unsure = (after - before) / 2
    away = there - (before + unsure)
    surely = abs(away) - unsure
    if surely <= max(_LEAST, shortest / _NOTICED):
        return
    direction = "ahead of" if away > dt.timedelta() else "behind"
    yield Ailment(
        where=where,
        what=f"its clock is {abs(away).total_seconds():.1f} s {direction} this machine's "
        f"(the shortest freshness objective is {shortest.total_seconds():g} s)",
        next="synchronise the clocks of both machines (chronyc tracking; timedatectl)",
        severity=Severity.RISK if surely > shortest else Severity.HINT,
        evidence={
            "skew_seconds": round(away.total_seconds(), 3),
            "unsure_seconds": round(unsure.total_seconds(), 3),
            "shortest_objective_seconds": shortest.total_seconds(),
        },
    )
