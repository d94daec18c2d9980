"""Whether a verification found the live table to be another one than its history gives, beside whether the replays agreed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "strangler_verification",
        sa.Column("drifted", sa.Boolean(), nullable=False, server_default=sa.false()),
    )


def downgrade() -> None:
    op.drop_column("strangler_verification", "drifted")
