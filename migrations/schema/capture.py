"""The capture schema: the one table that capture owns in the legacy database. Triggers fill it."""

from __future__ import annotations

from sqlalchemy import Column, Index, MetaData, String, Table, Text, text

from migrations.schema.types import BigNumber, Instant

metadata = MetaData()

SCHEMA = "strangler"
"""PostgreSQL keeps the table in a schema of its own; SQLite, which has none, in `strangler_change`."""


def change_table(metadata: MetaData, schema: str | None) -> Table:
    """The captured changes: written by triggers in the legacy transaction, marked once they are archived."""
    table = Table(
        "strangler_change",
        metadata,
        Column("number", BigNumber, primary_key=True, autoincrement=True),
        Column("transaction", String(40)),
        Column("table_name", String(128), nullable=False),
        Column("op", String(10), nullable=False),
        Column("subject", Text, nullable=False),
        Column("before", Text),
        Column("after", Text),
        Column("captured_at", Instant, nullable=False),
        Column("marked_at", Instant),
        schema=schema,
        sqlite_autoincrement=True,
    )
    unmarked = text("marked_at IS NULL")
    Index("ix_strangler_change_pending", table.c.number, postgresql_where=unmarked, sqlite_where=unmarked)
    return table
