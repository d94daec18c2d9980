"""What so many judged pairs prove: an upper bound on the mismatch rate, and a verdict that never passes on too little."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from toolkit.core.evidence import upper_bound

__all__ = ["Proof", "Proven", "prove", "upper_bound"]


class Proven(StrEnum):
    """What the pairs show about the allowed rate."""

    PASS = "pass"
    FAIL = "fail"
    INSUFFICIENT = "insufficient"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """`bound`: with 95 % confidence the true mismatch rate is below. `needed`: pairs still missing, if all match."""

    proven: Proven
    judged: int
    mismatched: int
    bound: float
    needed: int = 0


def prove(mismatched: int, judged: int, *, pairs: int, rate: float) -> Proof:
    """Weigh the mismatches in the judged pairs against the required number of pairs and the allowed rate.

    More mismatches than the rate allows in all the required pairs fail at once. A rate of 0 cannot be proven
    by any sample: it asks for no mismatch in the required pairs.
    """
    bound = upper_bound(mismatched, judged)
    if mismatched > rate * max(judged, pairs):
        return Proof(proven=Proven.FAIL, judged=judged, mismatched=mismatched, bound=bound)
    required = max(pairs, 1) if rate <= 0 else max(pairs, _enough(mismatched, rate))
    proven = Proven.PASS if judged >= required else Proven.INSUFFICIENT
    return Proof(
        proven=proven, judged=judged, mismatched=mismatched, bound=bound, needed=max(0, required - judged)
    )


def _enough(mismatched: int, rate: float) -> int:
    """The smallest number of pairs in which so many mismatches leave a bound of at most `rate`."""
    if rate >= 1:
        return 1
    if mismatched == 0:
        return math.ceil(math.log(0.05) / math.log1p(-rate))
    low, high = mismatched, 2 * math.ceil((mismatched + 3) / rate) + 10
    while upper_bound(mismatched, high) > rate:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if upper_bound(mismatched, middle) > rate:
            low = middle
        else:
            high = middle
    return high
