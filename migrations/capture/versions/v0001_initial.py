"""The first tables of the capture environment."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from migrations.schema.capture import schema_of
from migrations.schema.types import MYSQL, BigNumber, Instant, LongText

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    dialect = op.get_context().dialect.name
    _change(dialect)
    _captured(dialect)


def downgrade() -> None:
    schema = schema_of(op.get_context().dialect.name)
    for name in ("captured", "change"):
        op.drop_table(f"strangler_{name}", schema=schema)


def _change(dialect: str) -> None:
    schema = schema_of(dialect)
    op.create_table(
        "strangler_change",
        sa.Column("number", BigNumber, autoincrement=True, nullable=False),
        sa.Column("transaction", sa.String(length=40), nullable=True),
        sa.Column("table_name", sa.String(length=128), nullable=False),
        sa.Column("op", sa.String(length=10), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("before", LongText, nullable=True),
        sa.Column("after", LongText, nullable=True),
        sa.Column("captured_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("number"),
        schema=schema,
        sqlite_autoincrement=True,
        **MYSQL,
    )
    if dialect != "sqlite":
        op.create_index(
            "ix_strangler_change_transaction",
            "strangler_change",
            ["transaction"],
            schema=schema,
        )


def _captured(dialect: str) -> None:
    op.create_table(
        "strangler_captured",
        sa.Column("table_name", sa.String(length=128), nullable=False),
        sa.Column("relation", sa.Text(), nullable=False),
        sa.Column("subject", sa.String(length=128), nullable=False),
        sa.Column("outbox", sa.Boolean(), nullable=False),
        sa.Column("keys", sa.Text(), nullable=False),
        sa.Column("columns", sa.Text(), nullable=False),
        sa.Column("installed_at", Instant, nullable=False),
        *([sa.Column("incarnation", sa.String(length=60), nullable=True)] if dialect == "mysql" else ()),
        sa.Column("statement", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("chosen", sa.Text(), nullable=True),
        sa.Column("shape", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("table_name"),
        schema=schema_of(dialect),
        **MYSQL,
    )
