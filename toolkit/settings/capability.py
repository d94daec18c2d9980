"""`[capability.NAME]`: one read that moves, how it is compared, and what its gates ask for."""

from __future__ import annotations

from collections.abc import Collection
from decimal import Decimal, InvalidOperation
from pathlib import Path

from toolkit.core.errors import Fault
from toolkit.core.freshness import ReadClass, WhenStale
from toolkit.settings.units import DURATION, Section, check_duration


class CompareRule(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[capability.NAME.compare] column = {...}`: how one column is made comparable.

    `legacy` is the column's name in the legacy answer when it differs; `map` the code table; `scale` multiplies the
    legacy number; `tolerance` is a duration or a number; `collapse` declares states that count as one;
    `vocabulary` are the words a coded column speaks, so that a report can tell them apart; `ignore` needs a reason.
    """

    legacy: str = ""
    map: dict[str, str] = {}
    scale: str = ""
    tolerance: str = ""
    collapse: list[list[str]] = []
    vocabulary: list[str] = []
    zone: str = ""
    case: bool = True
    ignore: str = ""


class GateSection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[capability.NAME.gates]`: what the checklist asks for, and what the guard puts up with.

    `unclassified` are the kinds of change that may have given no event without anybody having answered for them;
    `guard_errors` are the failed pairs a run may have; `guard_overdue` is how far past its freshness objective a
    view may be before its route moves back; `retire_after` is how long it must have served before legacy may go.
    """

    pairs: int = 300
    mismatch_rate: float = 0.01
    evidence_age: str = "1h"
    rehearsal_age: str = "30d"
    verification_age: str = "7d"
    unclassified: int = 0
    guard_errors: int = 0
    guard_overdue: str = "5m"
    retire_after: str = "14d"


class CapabilitySection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[capability.NAME]`: one read that moves, with both read paths, its compare rules and its contract."""

    projection: str | list[str]
    legacy: str = ""
    legacy_sql: str
    read_sql: str
    keys_sql: str
    key: list[str]
    rows: list[str] = []
    subject: str = ""
    read_class: ReadClass
    freshness: str = "30s"
    when_stale: WhenStale = WhenStale.WARN
    means: str = ""
    parameters: dict[str, str | int] = {}
    sample: float = 1.0
    settle: str = "10s"
    redact: list[str] = []
    compare: dict[str, CompareRule] = {}
    gates: GateSection = GateSection()

    @property
    def projections(self) -> tuple[str, ...]:
        """The projections that the read path uses; its freshness is that of the one furthest behind."""
        return (self.projection,) if isinstance(self.projection, str) else tuple(self.projection)


def check_capability(
    path: str, capability: CapabilitySection, sources: Collection[str], folder: Path
) -> list[Fault]:
    """Everything that is wrong with one capability; `sources` are the legacy sources that there are."""
    faults: list[Fault] = []
    for key in ("legacy_sql", "read_sql", "keys_sql"):
        file = folder / getattr(capability, key)
        if not file.is_file():
            faults.append(Fault(where=f"{path}.{key}", what=f"there is no file {getattr(capability, key)}"))
    if not capability.key:
        faults.append(
            Fault(where=f"{path}.key", what="is empty", next="name the parameters that a read is asked with")
        )
    if capability.subject and capability.subject not in capability.key:
        faults.append(Fault(where=f"{path}.subject", what=f"{capability.subject!r} is not one of its key"))
    if capability.legacy and capability.legacy not in sources:
        faults.append(Fault(where=f"{path}.legacy", what=f"there is no [legacy.{capability.legacy}]"))
    if not capability.legacy and len(sources) > 1:
        faults.append(Fault(where=f"{path}.legacy", what="is missing, and there are several legacy sources"))
    if not 0 < capability.sample <= 1:
        faults.append(Fault(where=f"{path}.sample", what="must be above 0 and at most 1"))
    gates = capability.gates
    for name, text in (
        ("freshness", capability.freshness),
        ("settle", capability.settle),
        ("gates.evidence_age", gates.evidence_age),
        ("gates.rehearsal_age", gates.rehearsal_age),
        ("gates.verification_age", gates.verification_age),
        ("gates.guard_overdue", gates.guard_overdue),
        ("gates.retire_after", gates.retire_after),
    ):
        check_duration(text, f"{path}.{name}", faults)
    for column, rule in capability.compare.items():
        _check_rule(f"{path}.compare.{column}", rule, faults)
    return faults


def _check_rule(path: str, rule: CompareRule, faults: list[Fault]) -> None:
    if rule.scale:
        try:
            Decimal(rule.scale)
        except InvalidOperation:
            faults.append(Fault(where=f"{path}.scale", what=f"{rule.scale!r} is not a number"))
    if rule.tolerance and not DURATION.match(rule.tolerance):
        try:
            Decimal(rule.tolerance)
        except InvalidOperation:
            faults.append(
                Fault(
                    where=f"{path}.tolerance", what=f"{rule.tolerance!r} is neither a duration nor a number"
                )
            )
