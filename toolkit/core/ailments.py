"""What the doctor tells: where something is wrong, how bad it is, the figures that show it, and what to do next."""

from __future__ import annotations

from enum import StrEnum

import msgspec

Figure = str | int | float | None


class Severity(StrEnum):
    """How bad: `broken` does not work now, `risk` will fail one day, `hint` costs time or clarity only."""

    BROKEN = "broken"
    RISK = "risk"
    HINT = "hint"


class Ailment(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is wrong. `evidence` are the figures by name, with their unit in it: `age_seconds`."""

    where: str
    what: str
    next: str
    severity: Severity = Severity.BROKEN
    evidence: dict[str, Figure] = {}
