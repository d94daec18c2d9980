"""The first tables of the capture environment."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from migrations.schema.capture import schema_of
from migrations.schema.types import BigNumber, Instant

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    schema = schema_of(op.get_context().dialect.name)
    _change(schema)
    _captured(schema)


def downgrade() -> None:
    schema = schema_of(op.get_context().dialect.name)
    for name in ("captured", "change"):
        op.drop_table(f"strangler_{name}", schema=schema)


def _change(schema: str | None) -> None:
    op.create_table(
        "strangler_change",
        sa.Column("number", BigNumber, autoincrement=True, nullable=False),
        sa.Column("transaction", sa.String(length=40), nullable=True),
        sa.Column("table_name", sa.String(length=128), nullable=False),
        sa.Column("op", sa.String(length=10), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("before", sa.Text(), nullable=True),
        sa.Column("after", sa.Text(), nullable=True),
        sa.Column("captured_at", Instant, nullable=False),
        sa.Column("marked_at", Instant, nullable=True),
        sa.PrimaryKeyConstraint("number"),
        schema=schema,
        sqlite_autoincrement=True,
    )
    unmarked = sa.text("marked_at IS NULL")
    op.create_index(
        "ix_strangler_change_pending",
        "strangler_change",
        ["number"],
        schema=schema,
        postgresql_where=unmarked,
        sqlite_where=unmarked,
    )
    if schema is not None:
        op.create_index(
            "ix_strangler_change_transaction",
            "strangler_change",
            ["transaction"],
            schema=schema,
            postgresql_where=unmarked,
        )


def _captured(schema: str | None) -> None:
    op.create_table(
        "strangler_captured",
        sa.Column("table_name", sa.String(length=128), nullable=False),
        sa.Column("relation", sa.Text(), nullable=False),
        sa.Column("subject", sa.String(length=128), nullable=False),
        sa.Column("outbox", sa.Boolean(), nullable=False),
        sa.Column("keys", sa.Text(), nullable=False),
        sa.Column("columns", sa.Text(), nullable=False),
        sa.Column("installed_at", Instant, nullable=False),
        sa.Column("statement", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("chosen", sa.Text(), nullable=True),
        sa.Column("shape", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("table_name"),
        schema=schema,
    )
