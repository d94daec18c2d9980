"""How fast a backfill is and when it will have ended: of the last chunks, not of all, because legacy is not always busy."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from toolkit.loops.backfill import Progress

_STEPS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What a person who waits wants to know. `eta_seconds` is None while nothing has been read yet."""

    group: str
    rows: int
    rows_per_second: float
    remaining: int
    eta_seconds: float | None

    def __str__(self) -> str:
        left = "" if self.eta_seconds is None else f", about {_span(self.eta_seconds)}"
        return (
            f"{self.group}: {self.rows:,} rows read, {self.rows_per_second:,.0f} rows/s, "
            f"{self.remaining:,} subjects left{left}"
        )


class Forecaster:
    """Tells the time left from the last chunks; the caller gives the time, in seconds from anywhere."""

    def __init__(self, remaining: int, at: float) -> None:
        self._rows = 0
        self._known: deque[tuple[float, int, int]] = deque([(at, 0, remaining)], maxlen=_STEPS)

    def after(self, step: Progress, remaining: int, at: float) -> Forecast:
        """The forecast after one more chunk; `remaining` subjects in all groups are still to be read."""
        self._rows += step.rows
        began, rows, before = self._known[0]
        self._known.append((at, self._rows, remaining))
        taken = max(at - began, 1e-9)
        subjects = before - remaining
        eta = remaining * taken / subjects if subjects > 0 else None
        return Forecast(
            group=step.group,
            rows=self._rows,
            rows_per_second=(self._rows - rows) / taken,
            remaining=remaining,
            eta_seconds=0.0 if remaining == 0 else eta,
        )


def _span(seconds: float) -> str:
    for limit, unit, divisor in ((120, "s", 1), (7200, "min", 60), (172800, "h", 3600)):
        if seconds < limit:
            return f"{seconds / divisor:.0f} {unit}"
    return f"{seconds / 86400:.1f} d"
