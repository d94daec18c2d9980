"""How far each partition of a topic was pruned, and the ids of the events that are gone."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import UUID

from migrations.schema.types import BigNumber

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("pruned", "swept"):
        op.add_column("strangler_sequence", sa.Column(name, BigNumber, nullable=False, server_default="0"))
    op.create_table(
        "strangler_pruned_id",
        sa.Column("id", sa.String(length=36).with_variant(UUID(as_uuid=False), "postgresql"), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )


def downgrade() -> None:
    op.drop_table("strangler_pruned_id")
    for name in ("swept", "pruned"):
        op.drop_column("strangler_sequence", name)
