"""The capture schema: what capture owns in the legacy database. Triggers fill it, in the legacy transaction."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Index, MetaData, String, Table, Text, false

from migrations.schema.types import MYSQL, BigNumber, Instant, LongText

SCHEMA = "strangler"
"""PostgreSQL keeps the tables in a schema of their own; the others, which have none, know them by their prefix."""


def schema_of(dialect: str) -> str | None:
    """The database schema of the capture tables on this engine."""
    return SCHEMA if dialect == "postgresql" else None


def change_table(metadata: MetaData, dialect: str) -> Table:
    """The captured changes: written by triggers in the legacy transaction, deleted once they are archived."""
    schema = schema_of(dialect)
    table = Table(
        "strangler_change",
        metadata,
        Column("number", BigNumber, primary_key=True, autoincrement=True),
        Column("transaction", String(40)),
        Column("table_name", String(128), nullable=False),
        Column("op", String(10), nullable=False),
        Column("subject", Text, nullable=False),
        Column("before", LongText),
        Column("after", LongText),
        Column("captured_at", Instant, nullable=False),
        schema=schema,
        sqlite_autoincrement=True,
        **MYSQL,
    )
    if dialect != "sqlite":  # only where the engine gives a transaction id
        Index("ix_strangler_change_transaction", table.c.transaction)
    return table


def captured_table(metadata: MetaData, dialect: str) -> Table:
    """What is captured, as it was installed: `holes` compares it with the triggers and columns that are there now.

    `incarnation` says which file of the engine the table is, so that a TRUNCATE shows where no trigger sees it.
    """
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
        *([Column("incarnation", String(60))] if dialect == "mysql" else ()),
        schema=schema_of(dialect),
        **MYSQL,
    )


def metadata_of(dialect: str) -> MetaData:
    """All capture tables, as they are on this engine."""
    metadata = MetaData()
    change_table(metadata, dialect)
    captured_table(metadata, dialect)
    return metadata
