"""How PostgreSQL would answer a read: tables that it reads from end to end to find a few rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from adapters.doctor.asking import sql_of
from toolkit.core.ailments import Ailment, Severity
from toolkit.diagnosis import Ask, Patient, SampleRead


def explained(ask: Ask, patient: Patient, read: SampleRead) -> Iterator[Ailment]:
    """Explain the read with a key of its own."""
    parameters = read.parameters()
    if parameters is None:
        return
    rows = ask(f"EXPLAIN (FORMAT JSON, VERBOSE) {read.sql}", parameters)
    (plan,) = rows[0].values()
    scans = list(_scans((json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]))  # type: ignore[index]
    names = sorted({name for name, _ in scans})
    counted = ask(sql_of("sizes", "postgresql"), {"names": names}) if names else []
    rows_of = {str(row["name"]): int(str(row["rows"])) for row in counted}
    for name, condition in dict(scans).items():
        if rows_of.get(name, 0) > patient.limits.rows:
            yield Ailment(
                where=f"{patient.where}, {read.capability}",
                what=f"the read goes through all {rows_of[name]} rows of {name} to find those with {condition}",
                next=f"CREATE INDEX CONCURRENTLY ON {name} (the columns of {condition})",
                severity=Severity.HINT,
                evidence={"table": name, "rows": rows_of[name], "filter": condition},
            )


def _scans(node: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Sequential scans that throw rows away; one without a filter wants them all."""
    if node["Node Type"] == "Seq Scan" and "Filter" in node:
        yield f"{node['Schema']}.{node['Relation Name']}", str(node["Filter"])
    for child in node.get("Plans", []):
        yield from _scans(child)
