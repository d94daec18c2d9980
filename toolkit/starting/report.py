"""What was found and proposed, for people and for machines."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from toolkit.starting.facts import Table
from toolkit.starting.files import Decision, Written, decisions
from toolkit.starting.proposal import Entry, Proposal, keys_by_name, undeclared
from toolkit.starting.reads import Read


class Watermark(msgspec.Struct, frozen=True, kw_only=True):
    """A column that polling could follow; `warnings` are why it may not do."""

    column: str
    warnings: list[str]


class TableReport(msgspec.Struct, frozen=True, kw_only=True):
    """One table. `not_captured` says why it is not; empty where it is."""

    table: str
    rows: int
    at_least: bool
    key: list[str]
    candidate_keys: list[list[str]]
    aggregate: str = ""
    role: str = ""
    reason: str = ""
    not_captured: str = ""
    watermarks: list[Watermark] = []
    columns: dict[str, str] = {}
    references: list[str] = []


class CodeReport(msgspec.Struct, frozen=True, kw_only=True):
    """One code table."""

    table: str
    column: str
    values: dict[str, int]
    unnamed: list[str]
    reason: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All that `init` has to say."""

    folder: str
    files: list[str]
    tables: list[TableReport]
    codes: list[CodeReport]
    capabilities: dict[str, list[str]]
    to_decide: list[Decision]
    trouble: dict[str, str]


def report(folder: str, proposal: Proposal, reads: Sequence[Read], files: Sequence[Written]) -> Report:
    """Gather it."""
    skipped = {one.table: one.why for one in proposal.skipped}
    keys = keys_by_name(proposal.database.tables)
    return Report(
        folder=folder,
        files=[one.path for one in files],
        tables=[
            _table(table, proposal.entry(table.name), skipped.get(table.name, ""), keys)
            for table in proposal.database.tables
        ],
        codes=[
            CodeReport(
                table=one.table, column=one.column, values=one.values, unnamed=one.unnamed, reason=one.reason
            )
            for one in proposal.codes
        ],
        capabilities={one.name: list(one.projections) for one in reads},
        to_decide=list(decisions(files)),
        trouble=proposal.database.trouble,
    )


def _table(table: Table, entry: Entry | None, skipped: str, keys: dict[str, str]) -> TableReport:
    told = TableReport(
        table=table.name,
        rows=table.rows,
        at_least=table.at_least,
        key=list(table.key),
        candidate_keys=[list(one) for one in table.unique],
        not_captured=skipped,
        references=[
            f"{column} is called as {other}'s key, and no foreign key is declared"
            for column, other in undeclared(table, keys).items()
        ],
    )
    if entry is None:
        return told
    notes = {one.column.name: one.note for one in entry.fields if one.note}
    notes |= {one.column: f"left out: it {one.why}" for one in entry.left_out}
    return msgspec.structs.replace(
        told,
        aggregate=entry.group,
        role=entry.member.role.value,
        reason=entry.member.reason,
        watermarks=[_watermark(table, column) for column in entry.watermarks],
        columns=notes,
    )


def _watermark(table: Table, column: str) -> Watermark:
    warnings = []
    if column not in table.leading:
        warnings.append("no index begins with it: polling would read the whole table")
    sample = table.column(column).sample
    if sample is not None and sample.nulls:
        warnings.append(
            f"NULL in {sample.nulls:,} of {sample.rows:,} sampled rows: polling would not see them"
        )
    return Watermark(column=column, warnings=warnings)
