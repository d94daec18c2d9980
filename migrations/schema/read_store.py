"""The read store's bookkeeping: versions, checkpoints, parked and skipped events, beside the read models themselves."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Index, Integer, MetaData, String, Table

from migrations.schema.types import MYSQL, BigNumber, Instant, LongBytes, LongText

metadata = MetaData()

projection = Table(
    "strangler_projection",
    metadata,
    Column("projection", String(100), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("serving", Boolean, nullable=False),
    Column("epoch", BigNumber, nullable=False),
    Column("shared", BigNumber, nullable=False),
    Column("state", String(20), nullable=False),
    Column("detail", LongText, nullable=False),
    Column("built_at", Instant),
    Column("updated_at", Instant),
    Column("projected_at", Instant),
    **MYSQL,
)

checkpoint = Table(
    "strangler_checkpoint",
    metadata,
    Column("projection", String(100), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("topic", String(200), primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("next_offset", BigNumber, nullable=False),
    Column("sequence", BigNumber, nullable=False),
    Column("as_of", Instant),
    Column("epoch", BigNumber, nullable=False),
    Column("awaited", BigNumber, nullable=False),
    Column("projected_at", Instant),
    **MYSQL,
)

parked_event = Table(
    "strangler_parked_event",
    metadata,
    Column("projection", String(100), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("event_id", String(36), primary_key=True),
    Column("topic", String(200), nullable=False),
    Column("partition", Integer, nullable=False),
    Column("sequence", BigNumber, nullable=False),
    Column("key", LongText),
    Column("reason", LongText, nullable=False),
    Column("held", Boolean, nullable=False),
    Column("parked_at", Instant, nullable=False),
    Column("record", LongBytes, nullable=False),
    **MYSQL,
)
Index(
    "ix_strangler_parked_event_key",
    parked_event.c.projection,
    parked_event.c.version,
    parked_event.c.key,
    mysql_length={"key": 191},
)

skipped_event = Table(
    "strangler_skipped_event",
    metadata,
    Column("projection", String(100), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("event_id", String(36), primary_key=True),
    Column("topic", String(200), nullable=False),
    Column("partition", Integer, nullable=False),
    Column("sequence", BigNumber, nullable=False),
    Column("key", LongText),
    Column("parked_for", LongText, nullable=False),
    Column("held", Boolean, nullable=False),
    Column("parked_at", Instant, nullable=False),
    Column("record", LongBytes, nullable=False),
    Column("owner", String(200), nullable=False),
    Column("reason", LongText, nullable=False),
    Column("skipped_at", Instant, nullable=False),
    Column("code_hash", String(64), nullable=False),
    **MYSQL,
)
