"""What ails tables on any engine: rights that are missing, rows that are dead, subjects that no index finds."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import msgspec

from adapters.doctor.asking import Row, figures, size, span
from toolkit import commands
from toolkit.core.ailments import Ailment, Figure, Severity
from toolkit.diagnosis import Patient
from toolkit.ports import CapturedTable

_DEAD_SHARE = 0.4
"""Twice the share at which autovacuum comes by default: it does not keep up, or something holds it back."""


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A table with its statistics; what an engine does not know is zero or empty."""

    name: str
    relation: str
    rows: int
    live: int = 0
    dead: int = 0
    table_bytes: int = 0
    index_bytes: int = 0
    vacuumed_seconds: float | None = None
    never_vacuumed: bool = False
    rights: frozenset[str] = frozenset()
    hidden: str = ""
    """the schema that may not be used"""
    owned: bool = True
    owner: str = ""
    mighty: bool = False
    """does the owner rule over more than tables? Nobody is made a member of it"""
    owner_creates: bool = True
    """may the owner create a schema in the database?"""


def ungranted(
    patient: Patient, role: str, tables: Sequence[Table], *, needed: Sequence[str]
) -> Iterator[Ailment]:
    """Rights that the role lacks, as the statements that give them."""
    for table in tables:
        missing = [right for right in needed if right not in table.rights]
        grants = [f'GRANT USAGE ON SCHEMA {table.hidden} TO "{role}"'] if table.hidden else []
        grants += [f'GRANT {", ".join(missing)} ON {table.relation} TO "{role}"'] if missing else []
        if grants:
            lacks = ", ".join([*(["USAGE of the schema"] if table.hidden else []), *missing])
            yield Ailment(
                where=patient.where,
                what=f"{role} lacks {lacks} on {table.relation}",
                next="; ".join(grants),
                evidence={"role": role, "table": table.relation, "lacks": lacks},
            )


def bloated(patient: Patient, table: Table, cure: str) -> Iterator[Ailment]:
    """Dead rows beyond what vacuum leaves, and a table of ours that is never vacuumed."""
    evidence: dict[str, Figure] = {
        "live": table.live,
        "dead": table.dead,
        "table_bytes": table.table_bytes,
        "index_bytes": table.index_bytes,
    }
    if table.vacuumed_seconds is not None:
        evidence["vacuumed_seconds"] = round(table.vacuumed_seconds, 1)
    if table.never_vacuumed:
        yield Ailment(
            where=patient.where,
            what=f"{table.relation} is never vacuumed by itself: it grows without end",
            next=f"ALTER TABLE {table.relation} RESET (autovacuum_enabled); {cure}",
            severity=Severity.RISK,
            evidence=evidence,
        )
    if table.table_bytes + table.index_bytes > patient.limits.large:
        yield Ailment(
            where=patient.where,
            what=f"{table.relation} has grown to {size(table.table_bytes + table.index_bytes)}",
            next="see whether all of it is still needed, and whether the disk has room",
            severity=Severity.HINT,
            evidence=evidence,
        )
    if table.dead >= max(patient.limits.dead, table.live * _DEAD_SHARE):
        last = "never" if table.vacuumed_seconds is None else f"{span(table.vacuumed_seconds)} ago"
        total = size(table.table_bytes + table.index_bytes)
        yield Ailment(
            where=patient.where,
            what=f"{table.relation} ({total}) has {table.dead} dead rows beside {table.live} live ones, last vacuumed {last}",
            next=f"end what holds vacuum back (long transactions, slots), then: {cure}",
            severity=Severity.RISK,
            evidence=evidence,
        )


def without_index(
    patient: Patient,
    wanted: CapturedTable,
    tables: Sequence[Table],
    indexes: Collection[tuple[str, str]],
    create: str,
) -> Iterator[Ailment]:
    """A captured table whose subject (all its columns) no index begins with: each chunk of a backfill reads it from end to end."""
    name = wanted.table.lower().rpartition(".")[2]
    table = next((one for one in tables if one.name == name), None)
    names = [one.lower() for one in wanted.subjects]
    subject = ", ".join(names)
    if table is None or table.rows <= patient.limits.rows or _begun(indexes, name, names):
        return
    yield Ailment(
        where=patient.where,
        what=f"no index of {table.relation} begins with its subject {subject}: each chunk of a backfill, and each look "
        f"at one subject, reads all of its {table.rows} rows",
        next=f"{create} ON {table.relation} ({subject})",
        severity=Severity.HINT,
        evidence={"table": table.relation, "subject": subject, "rows": table.rows},
    )


def _begun(indexes: Collection[tuple[str, str]], table: str, names: Sequence[str]) -> bool:
    """Does an index of the table (its columns separated by commas) begin with these columns, in any order?"""
    return any(
        name == table and set(columns.split(",")[: len(names)]) == set(names) for name, columns in indexes
    )


def waiting(patient: Patient, row: Row) -> Iterator[Ailment]:
    """Captured changes that wait for too long."""
    oldest = float(row["oldest_seconds"] or 0)
    if row["waiting"] and oldest > patient.limits.waiting.total_seconds():
        yield Ailment(
            where=patient.where,
            what=f"{row['waiting']} captured changes wait for the relay, the oldest for {span(oldest)}",
            next=commands.RELAY,
            severity=Severity.RISK,
            evidence=figures(row, "waiting", "oldest_seconds"),
        )
