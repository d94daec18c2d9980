"""One figure, one line of JSON."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A measured value beside its peer's. `ratio` is ours divided by the peer's; the unit says which way is better."""

    figure: str
    value: float
    unit: str
    peer: str | None = None
    peer_value: float | None = None

    @property
    def ratio(self) -> float | None:
        """Ours divided by the peer's."""
        return None if not self.peer_value else self.value / self.peer_value

    def show(self, as_json: bool) -> None:
        """Print the figure, as JSON or as a sentence."""
        values = {
            "figure": self.figure,
            "value": round(self.value, 3),
            "unit": self.unit,
            "peer": self.peer,
            "peer_value": None if self.peer_value is None else round(self.peer_value, 3),
            "ratio": None if self.ratio is None else round(self.ratio, 3),
        }
        if as_json:
            sys.stdout.write(msgspec.json.encode(values).decode() + "\n")
            return
        beside = f"; {self.peer}: {values['peer_value']:,} (ratio {values['ratio']})" if self.peer else ""
        sys.stdout.write(f"{self.figure}: {values['value']:,} {self.unit}{beside}\n")


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of the values lie."""
    return statistics.quantiles(values, n=1000, method="inclusive")[round(share * 1000) - 1]
