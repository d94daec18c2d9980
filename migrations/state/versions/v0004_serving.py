"""Which version of each projection serves, and who let it: known also when the read store is lost."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from migrations.schema.types import BigNumber, Instant

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "strangler_serving",
        sa.Column("id", BigNumber, autoincrement=True, nullable=False),
        sa.Column("projection", sa.String(length=100), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("at", Instant, nullable=False),
        sa.Column("who", sa.String(length=200), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("forced", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_strangler_serving", "strangler_serving", ["projection", "id"], unique=False)


def downgrade() -> None:
    op.drop_table("strangler_serving")
