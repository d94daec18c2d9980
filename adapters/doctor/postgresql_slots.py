"""What ails replication slots, and capture that reads PostgreSQL's own log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from adapters.doctor.asking import Row, figures, size
from toolkit.core.ailments import Ailment, Severity
from toolkit.diagnosis import Patient

OURS = "strangler"
"""Slots of ours begin with this, unless the project names them."""


def slots(patient: Patient, rows: Sequence[Row]) -> Iterator[Ailment]:
    """Slots that hold back the log or vacuum, or that have lost what they were kept for.

    The slot that capture reads is left to capture, which tells its holes. One of ours in another database is asked by
    SQL, so that it is not active between two looks; one here that nothing of this project reads was left behind.
    """
    for row in rows:
        ours = str(row["slot"]).startswith(OURS) or row["slot"] == patient.slot
        if ours and row["here"] and patient.capture == "wal":
            continue
        held, idles = int(row["retained_bytes"]), not row["active"] and not (ours and not row["here"])
        evidence = figures(
            row, "slot", "kind", "active", "wal_status", "retained_bytes", "pinned_transactions"
        )
        drop = f"SELECT pg_drop_replication_slot('{row['slot']}')"
        if row["wal_status"] == "lost":
            yield Ailment(
                where=patient.where,
                what=f"the slot {row['slot']} has lost the log that it was kept for",
                next=drop,
                severity=Severity.BROKEN,
                evidence=evidence,
            )
            continue
        reasons = ["is not active"] if idles else []
        if row["wal_status"] not in ("reserved", "extended"):
            reasons.append(f"is {row['wal_status']}: its log may be removed at any time")
        if held > patient.limits.retained:
            reasons.append("holds back more log than it should")
        if row["pins_rows"]:
            reasons.append(f"keeps vacuum from the rows of {row['pinned_transactions']} transactions")
        if reasons:
            endless = " (without a limit: max_slot_wal_keep_size is -1)" if row["keep_size"] == "-1" else ""
            yield Ailment(
                where=patient.where,
                what=f"the slot {row['slot']} {', '.join(reasons)}; it holds back {size(held)} of log{endless}",
                next=f"start who reads it again, or, if nobody does any more: {drop}",
                severity=Severity.RISK,
                evidence=evidence,
            )


def capture_from_log(patient: Patient, server: Row) -> Iterator[Ailment]:
    """What capture from the log asks of the server."""
    if server["wal_level"] != "logical":
        yield Ailment(
            where=patient.where,
            what=f"wal_level is {server['wal_level']}: the log does not say which rows changed",
            next="ALTER SYSTEM SET wal_level = logical, then restart the server",
            evidence=figures(server, "wal_level"),
        )
    if not (server["replication"] or server["superuser"]):
        yield Ailment(
            where=patient.where,
            what=f"{server['role']} may not use replication slots",
            next=f'ALTER ROLE "{server["role"]}" REPLICATION',
            evidence=figures(server, "role"),
        )
    if int(server["slots_left"]) < 1:
        yield Ailment(
            where=patient.where,
            what="no replication slot is left: capture cannot be installed, nor installed anew",
            next="drop a slot that nobody reads, or raise max_replication_slots and restart the server",
            severity=Severity.RISK,
            evidence=figures(server, "slots_left"),
        )
