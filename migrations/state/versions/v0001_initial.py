"""The first tables of the state environment."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from migrations.schema.types import BigNumber, Instant

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    _lease()
    _event()
    _sequence()
    _kind()
    _coordinates()
    _topic()
    _shard_watermark()
    _parked_change()
    _unclassified()
    _unmarked()
    _pause()
    _cursor()
    _inbox()
    _log_topic()
    _log_record()
    _log_watermark()
    _route()
    _route_history()
    _shadow_run()
    _discrepancy()
    _acceptance()
    _verification()
    _rehearsal()
    _waiver()


def downgrade() -> None:
    for name in (
        "waiver",
        "rehearsal",
        "verification",
        "acceptance",
        "discrepancy",
        "shadow_run",
        "route_history",
        "route",
        "kind_counted",
        "kind",
        "log_watermark",
        "log_record",
        "log_topic",
        "seen",
        "inbox_position",
        "inbox",
        "cursor",
        "pause",
        "unmarked",
        "unclassified",
        "parked_change",
        "shard_watermark",
        "topic",
        "coordinates",
        "sequence",
        "event",
        "lease",
    ):
        op.drop_table(f"strangler_{name}")


def _lease() -> None:
    op.create_table(
        "strangler_lease",
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("epoch", BigNumber, nullable=False),
        sa.Column("owner", sa.String(length=200), nullable=False),
        sa.Column("expires_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )


def _event() -> None:
    op.create_table(
        "strangler_event",
        sa.Column("topic", sa.String(length=200), nullable=False),
        sa.Column("partition", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sequence", BigNumber, autoincrement=False, nullable=False),
        sa.Column("archived_on", sa.Date(), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("source", sa.String(length=100), nullable=False),
        sa.Column("type", sa.String(length=200), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("subject_hash", sa.Integer(), nullable=False),
        sa.Column("time", Instant, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("meaning", sa.Integer(), nullable=False),
        sa.Column("position", sa.Text(), nullable=False),
        sa.Column("transaction", sa.String(length=100), nullable=True),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("topic", "partition", "sequence", "archived_on"),
        postgresql_partition_by="RANGE (archived_on)",
    )
    op.create_index("ix_strangler_event_subject", "strangler_event", ["subject_hash"], unique=False)
    op.create_index(
        "ix_strangler_event_time", "strangler_event", ["time"], unique=False, postgresql_using="brin"
    )
    if op.get_context().dialect.name == "postgresql":
        op.execute("CREATE TABLE strangler_event_default PARTITION OF strangler_event DEFAULT")


def _sequence() -> None:
    op.create_table(
        "strangler_sequence",
        sa.Column("topic", sa.String(length=200), nullable=False),
        sa.Column("partition", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("archived", BigNumber, nullable=False),
        sa.Column("published", BigNumber, nullable=False),
        sa.PrimaryKeyConstraint("topic", "partition"),
    )


def _kind() -> None:
    op.create_table(
        "strangler_kind",
        sa.Column("topic", sa.String(200), nullable=False),
        sa.Column("type", sa.String(200), nullable=False),
        sa.Column("version", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("meaning", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("events", BigNumber, nullable=False),
        sa.Column("first_at", Instant, nullable=False),
        sa.Column("last_at", Instant, nullable=False),
        sa.Column("partition", sa.Integer, nullable=False),
        sa.Column("sequence", BigNumber, nullable=False),
        sa.PrimaryKeyConstraint("topic", "type", "version", "meaning"),
    )
    op.create_table(
        "strangler_kind_counted",
        sa.Column("topic", sa.String(200), nullable=False),
        sa.Column("partition", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("sequence", BigNumber, nullable=False),
        sa.PrimaryKeyConstraint("topic", "partition"),
    )


def _coordinates() -> None:
    op.create_table(
        "strangler_coordinates",
        sa.Column("topic", sa.String(length=200), nullable=False),
        sa.Column("partition", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sequence", BigNumber, autoincrement=False, nullable=False),
        sa.Column("offset", BigNumber, nullable=False),
        sa.Column("events", BigNumber, nullable=False),
        sa.PrimaryKeyConstraint("topic", "partition", "sequence"),
    )


def _topic() -> None:
    op.create_table(
        "strangler_topic",
        sa.Column("topic", sa.String(length=200), nullable=False),
        sa.Column("source", sa.String(length=100), nullable=False),
        sa.Column("watermark", Instant, nullable=True),
        sa.PrimaryKeyConstraint("topic"),
    )


def _shard_watermark() -> None:
    op.create_table(
        "strangler_shard_watermark",
        sa.Column("topic", sa.String(length=200), nullable=False),
        sa.Column("shards", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("shard", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("watermark", Instant, nullable=False),
        sa.PrimaryKeyConstraint("topic", "shards", "shard"),
    )


def _parked_change() -> None:
    op.create_table(
        "strangler_parked_change",
        sa.Column("source", sa.String(length=100), nullable=False),
        sa.Column("position", sa.Text(), nullable=False),
        sa.Column("number", BigNumber, nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("held", sa.Boolean(), nullable=False),
        sa.Column("parked_at", Instant, nullable=False),
        sa.Column("change", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("source", "position"),
    )


def _unclassified() -> None:
    op.create_table(
        "strangler_unclassified",
        sa.Column("source", sa.String(length=100), nullable=False),
        sa.Column("table_name", sa.String(length=128), nullable=False),
        sa.Column("op", sa.String(length=10), nullable=False),
        sa.Column("columns", sa.Text(), nullable=False),
        sa.Column("times", BigNumber, nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("position", sa.Text(), nullable=False),
        sa.Column("first_at", Instant, nullable=False),
        sa.Column("last_at", Instant, nullable=False),
        sa.Column("owner", sa.String(length=200), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("answered_at", Instant, nullable=True),
        sa.PrimaryKeyConstraint("source", "table_name", "op", "columns"),
    )


def _unmarked() -> None:
    op.create_table(
        "strangler_unmarked",
        sa.Column("source", sa.String(length=100), nullable=False),
        sa.Column("shards", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("shard", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("numbers", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("source", "shards", "shard"),
    )


def _pause() -> None:
    op.create_table(
        "strangler_pause",
        sa.Column("source", sa.String(length=100), nullable=False),
        sa.Column("who", sa.String(length=200), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("since", Instant, nullable=False),
        sa.PrimaryKeyConstraint("source"),
    )


def _cursor() -> None:
    op.create_table(
        "strangler_cursor",
        sa.Column("source", sa.String(length=100), nullable=False),
        sa.Column("tables", sa.Text(), nullable=False),
        sa.Column("after", sa.Text(), nullable=True),
        sa.Column("done", sa.Boolean(), nullable=False),
        sa.Column("installation", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("source", "tables"),
    )


def _inbox() -> None:
    op.create_table(
        "strangler_inbox",
        sa.Column("source", sa.String(length=100), nullable=False),
        sa.Column("number", BigNumber, autoincrement=False, nullable=False),
        sa.Column("transaction", sa.String(length=100), nullable=True),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("change", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("source", "number"),
    )
    op.create_table(
        "strangler_inbox_position",
        sa.Column("source", sa.String(length=100), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("source", "name"),
    )
    op.create_table(
        "strangler_seen",
        sa.Column("source", sa.String(length=100), nullable=False),
        sa.Column("table_name", sa.String(length=128), nullable=False),
        sa.Column("key", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), nullable=False),
        sa.Column("image", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("source", "table_name", "key"),
    )


def _log_topic() -> None:
    op.create_table(
        "strangler_log_topic",
        sa.Column("topic", sa.String(length=200), nullable=False),
        sa.Column("partitions", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("topic"),
    )


def _log_record() -> None:
    op.create_table(
        "strangler_log_record",
        sa.Column("topic", sa.String(length=200), nullable=False),
        sa.Column("partition", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("offset", BigNumber, autoincrement=False, nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("topic", "partition", "offset"),
    )


def _log_watermark() -> None:
    op.create_table(
        "strangler_log_watermark",
        sa.Column("topic", sa.String(length=200), nullable=False),
        sa.Column("partition", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("as_of", Instant, nullable=False),
        sa.Column("sequence", BigNumber, nullable=False),
        sa.Column("revision", BigNumber, nullable=False),
        sa.PrimaryKeyConstraint("topic", "partition"),
    )


def _route() -> None:
    op.create_table(
        "strangler_route",
        sa.Column("capability", sa.String(length=100), nullable=False),
        sa.Column("consumer", sa.String(length=100), nullable=False),
        sa.Column("stage", sa.String(length=20), nullable=False),
        sa.Column("share", sa.Integer(), nullable=False),
        sa.Column("salt", sa.String(length=100), nullable=False),
        sa.Column("hash_version", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("capability", "consumer"),
    )


def _route_history() -> None:
    op.create_table(
        "strangler_route_history",
        sa.Column("id", BigNumber, autoincrement=True, nullable=False),
        sa.Column("at", Instant, nullable=False),
        sa.Column("capability", sa.String(length=100), nullable=False),
        sa.Column("consumer", sa.String(length=100), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("action", sa.String(length=20), nullable=False),
        sa.Column("was", sa.JSON(), nullable=False),
        sa.Column("becomes", sa.JSON(), nullable=False),
        sa.Column("who", sa.String(length=200), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("evidence", sa.JSON(), nullable=False),
        sa.Column("config_hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("capability", "consumer", "revision", name="uq_strangler_route_history_revision"),
    )


def _shadow_run() -> None:
    op.create_table(
        "strangler_shadow_run",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("capability", sa.String(length=100), nullable=False),
        sa.Column("versions", sa.JSON(), nullable=False),
        sa.Column("started_at", Instant, nullable=False),
        sa.Column("ended_at", Instant, nullable=False),
        sa.Column("verdict", sa.String(length=20), nullable=False),
        sa.Column("config_hash", sa.String(length=64), nullable=False),
        sa.Column("outcome", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "ix_strangler_shadow_run", "strangler_shadow_run", ["capability", "ended_at"], unique=False
    )


def _discrepancy() -> None:
    op.create_table(
        "strangler_discrepancy",
        sa.Column("run_id", sa.String(length=36), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("capability", sa.String(length=100), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "fingerprint", "key"),
    )
    op.create_index(
        "ix_strangler_discrepancy_fingerprint",
        "strangler_discrepancy",
        ["capability", "fingerprint"],
        unique=False,
    )


def _acceptance() -> None:
    op.create_table(
        "strangler_acceptance",
        sa.Column("capability", sa.String(length=100), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("owner", sa.String(length=200), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("expires_at", Instant, nullable=False),
        sa.Column("accepted_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("capability", "fingerprint"),
    )


def _verification() -> None:
    op.create_table(
        "strangler_verification",
        sa.Column("id", BigNumber, autoincrement=True, nullable=False),
        sa.Column("projection", sa.String(length=100), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("at", Instant, nullable=False),
        sa.Column("deterministic", sa.Boolean(), nullable=False),
        sa.Column("code_hash", sa.String(length=64), nullable=False),
        sa.Column("upcaster_hash", sa.String(length=64), nullable=False),
        sa.Column("positions", sa.JSON(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("skipped", sa.JSON(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )


def _rehearsal() -> None:
    op.create_table(
        "strangler_rehearsal",
        sa.Column("id", BigNumber, autoincrement=True, nullable=False),
        sa.Column("capability", sa.String(length=100), nullable=False),
        sa.Column("consumer", sa.String(length=100), nullable=False),
        sa.Column("at", Instant, nullable=False),
        sa.Column("passed", sa.Boolean(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )


def _waiver() -> None:
    op.create_table(
        "strangler_waiver",
        sa.Column("capability", sa.String(length=100), nullable=False),
        sa.Column("gate", sa.String(length=50), nullable=False),
        sa.Column("owner", sa.String(length=200), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("expires_at", Instant, nullable=False),
        sa.Column("covers", sa.JSON(), nullable=False),
        sa.Column("granted_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("capability", "gate"),
    )
