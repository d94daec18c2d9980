"""The capture schema: what capture owns in the legacy database. Triggers fill it, in the legacy transaction."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Index, MetaData, String, Table, Text, false, text

from migrations.schema.types import BigNumber, Instant

SCHEMA = "strangler"
"""PostgreSQL keeps the tables in a schema of their own; SQLite, which has none, keeps them by their prefix."""


def schema_of(dialect: str) -> str | None:
    """The database schema of the capture tables on this engine."""
    return SCHEMA if dialect == "postgresql" else None


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
    if schema is not None:  # only where the engine gives a transaction id
        Index("ix_strangler_change_transaction", table.c.transaction, postgresql_where=unmarked)
    return table


def captured_table(metadata: MetaData, schema: str | None) -> Table:
    """What is captured, as it was installed: `holes` compares it with the triggers and columns that are there now."""
    return Table(
        "strangler_captured",
        metadata,
        Column("table_name", String(128), primary_key=True),
        Column("relation", Text, nullable=False),
        Column("subject", String(128), nullable=False),
        Column("outbox", Boolean, nullable=False),
        Column("keys", Text, nullable=False),
        Column("columns", Text, nullable=False),
        Column("installed_at", Instant, nullable=False),
        Column("statement", Boolean, nullable=False, server_default=false()),
        Column("chosen", Text),
        Column("shape", Text),
        schema=schema,
    )


def metadata_of(dialect: str) -> MetaData:
    """All capture tables, as they are on this engine."""
    metadata = MetaData()
    change_table(metadata, schema_of(dialect))
    captured_table(metadata, schema_of(dialect))
    return metadata
