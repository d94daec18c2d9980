"""The first tables of the read store environment."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from migrations.schema.types import MYSQL, BigNumber, Instant, LongBytes, LongText

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    _projection()
    _checkpoint()
    _parked_event()
    _skipped_event()


def downgrade() -> None:
    for name in (
        "skipped_event",
        "parked_event",
        "checkpoint",
        "projection",
    ):
        op.drop_table(f"strangler_{name}")


def _projection() -> None:
    op.create_table(
        "strangler_projection",
        sa.Column("projection", sa.String(length=100), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("serving", sa.Boolean(), nullable=False),
        sa.Column("epoch", BigNumber, nullable=False),
        sa.Column("shared", BigNumber, nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("detail", LongText, nullable=False),
        sa.Column("built_at", Instant, nullable=True),
        sa.Column("updated_at", Instant, nullable=True),
        sa.Column("projected_at", Instant, nullable=True),
        sa.PrimaryKeyConstraint("projection", "version"),
        **MYSQL,
    )


def _checkpoint() -> None:
    op.create_table(
        "strangler_checkpoint",
        sa.Column("projection", sa.String(length=100), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("topic", sa.String(length=200), nullable=False),
        sa.Column("partition", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("next_offset", BigNumber, nullable=False),
        sa.Column("sequence", BigNumber, nullable=False),
        sa.Column("as_of", Instant, nullable=True),
        sa.Column("epoch", BigNumber, nullable=False),
        sa.Column("awaited", BigNumber, nullable=False),
        sa.Column("projected_at", Instant, nullable=True),
        sa.PrimaryKeyConstraint("projection", "version", "topic", "partition"),
        **MYSQL,
    )


def _parked_event() -> None:
    op.create_table(
        "strangler_parked_event",
        sa.Column("projection", sa.String(length=100), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("event_id", sa.String(length=36), nullable=False),
        sa.Column("topic", sa.String(length=200), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("sequence", BigNumber, nullable=False),
        sa.Column("key", LongText, nullable=True),
        sa.Column("reason", LongText, nullable=False),
        sa.Column("held", sa.Boolean(), nullable=False),
        sa.Column("parked_at", Instant, nullable=False),
        sa.Column("record", LongBytes, nullable=False),
        sa.PrimaryKeyConstraint("projection", "version", "event_id"),
        **MYSQL,
    )
    op.create_index(
        "ix_strangler_parked_event_key",
        "strangler_parked_event",
        ["projection", "version", "key"],
        unique=False,
        mysql_length={"key": 191},
    )


def _skipped_event() -> None:
    op.create_table(
        "strangler_skipped_event",
        sa.Column("projection", sa.String(length=100), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("event_id", sa.String(length=36), nullable=False),
        sa.Column("topic", sa.String(length=200), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("sequence", BigNumber, nullable=False),
        sa.Column("key", LongText, nullable=True),
        sa.Column("parked_for", LongText, nullable=False),
        sa.Column("held", sa.Boolean(), nullable=False),
        sa.Column("parked_at", Instant, nullable=False),
        sa.Column("record", LongBytes, nullable=False),
        sa.Column("owner", sa.String(length=200), nullable=False),
        sa.Column("reason", LongText, nullable=False),
        sa.Column("skipped_at", Instant, nullable=False),
        sa.Column("code_hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("projection", "version", "event_id"),
        **MYSQL,
    )
