"""State: the event archive, the inbox, leases, the embedded log, routes and the evidence that gates read."""

from __future__ import annotations

from sqlalchemy import (
    DDL,
    JSON,
    Boolean,
    Column,
    Date,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
)
from sqlalchemy.dialects.postgresql import UUID
from sqlalchemy.event import listen
from sqlalchemy.schema import ExecutableDDLElement

from migrations.schema.types import BigNumber, Instant

metadata = MetaData()

lease = Table(
    "strangler_lease",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("epoch", BigNumber, nullable=False),
    Column("owner", String(200), nullable=False),
    Column("expires_at", Instant, nullable=False),
)

event = Table(
    "strangler_event",
    metadata,
    Column("topic", String(200), primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("sequence", BigNumber, primary_key=True, autoincrement=False),
    Column("archived_on", Date, primary_key=True),
    Column("id", String(36), nullable=False),
    Column("source", String(100), nullable=False),
    Column("type", String(200), nullable=False),
    Column("subject", Text, nullable=False),
    Column("subject_hash", Integer, nullable=False),
    Column("time", Instant, nullable=False),
    Column("version", Integer, nullable=False),
    Column("meaning", Integer, nullable=False),
    Column("position", Text, nullable=False),
    Column("transaction", String(100)),
    Column("data", LargeBinary, nullable=False),
    postgresql_partition_by="RANGE (archived_on)",
)
# A number of fixed size: subjects are of any length, and an index over them would cost more than the events.
Index("ix_strangler_event_subject", event.c.subject_hash)
# Events are archived about in the order of their time: a summary of each range of pages is enough.
Index("ix_strangler_event_time", event.c.time, postgresql_using="brin")

DEFAULT_PARTITION = "CREATE TABLE strangler_event_default PARTITION OF strangler_event DEFAULT"
"""On PostgreSQL: where an event goes for whose day nobody has made a partition."""
_default: ExecutableDDLElement = DDL(DEFAULT_PARTITION)  # type: ignore[no-untyped-call]
listen(event, "after_create", _default.execute_if(dialect="postgresql"))

sequence = Table(
    "strangler_sequence",
    metadata,
    Column("topic", String(200), primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("archived", BigNumber, nullable=False),
    Column("published", BigNumber, nullable=False),
    Column("pruned", BigNumber, nullable=False, server_default="0"),
    Column("swept", BigNumber, nullable=False, server_default="0"),
)

pruned_id = Table(
    "strangler_pruned_id",
    metadata,
    Column("id", String(36).with_variant(UUID(as_uuid=False), "postgresql"), primary_key=True),
)

kind = Table(
    "strangler_kind",
    metadata,
    Column("topic", String(200), primary_key=True),
    Column("type", String(200), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("meaning", Integer, primary_key=True, autoincrement=False),
    Column("events", BigNumber, nullable=False),
    Column("first_at", Instant, nullable=False),
    Column("last_at", Instant, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("sequence", BigNumber, nullable=False),
)

kind_counted = Table(
    "strangler_kind_counted",
    metadata,
    Column("topic", String(200), primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("sequence", BigNumber, nullable=False),
)

coordinates = Table(
    "strangler_coordinates",
    metadata,
    Column("topic", String(200), primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("sequence", BigNumber, primary_key=True, autoincrement=False),
    Column("offset", BigNumber, nullable=False),
    Column("events", BigNumber, nullable=False),
)

topic = Table(
    "strangler_topic",
    metadata,
    Column("topic", String(200), primary_key=True),
    Column("source", String(100), nullable=False),
    Column("watermark", Instant),
)

shard_watermark = Table(
    "strangler_shard_watermark",
    metadata,
    Column("topic", String(200), primary_key=True),
    Column("shards", Integer, primary_key=True, autoincrement=False),
    Column("shard", Integer, primary_key=True, autoincrement=False),
    Column("watermark", Instant, nullable=False),
)

parked_change = Table(
    "strangler_parked_change",
    metadata,
    Column("source", String(100), primary_key=True),
    Column("position", Text, primary_key=True),
    Column("number", BigNumber, nullable=False),
    Column("subject", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("held", Boolean, nullable=False),
    Column("parked_at", Instant, nullable=False),
    Column("change", LargeBinary, nullable=False),
)

unclassified = Table(
    "strangler_unclassified",
    metadata,
    Column("source", String(100), primary_key=True),
    Column("table_name", String(128), primary_key=True),
    Column("op", String(10), primary_key=True),
    Column("columns", Text, primary_key=True),
    Column("times", BigNumber, nullable=False),
    Column("subject", Text, nullable=False),
    Column("position", Text, nullable=False),
    Column("first_at", Instant, nullable=False),
    Column("last_at", Instant, nullable=False),
    Column("owner", String(200), nullable=False),
    Column("reason", Text, nullable=False),
    Column("answered_at", Instant),
)

unmarked = Table(
    "strangler_unmarked",
    metadata,
    Column("source", String(100), primary_key=True),
    Column("shards", Integer, primary_key=True, autoincrement=False),
    Column("shard", Integer, primary_key=True, autoincrement=False),
    Column("numbers", LargeBinary, nullable=False),
)

pause = Table(
    "strangler_pause",
    metadata,
    Column("source", String(100), primary_key=True),
    Column("who", String(200), nullable=False),
    Column("why", Text, nullable=False),
    Column("since", Instant, nullable=False),
)

cursor = Table(
    "strangler_cursor",
    metadata,
    Column("source", String(100), primary_key=True),
    Column("tables", Text, primary_key=True),
    Column("after", Text),
    Column("done", Boolean, nullable=False),
    Column("installation", Text, nullable=False),
)

inbox = Table(
    "strangler_inbox",
    metadata,
    Column("source", String(100), primary_key=True),
    Column("number", BigNumber, primary_key=True, autoincrement=False),
    Column("transaction", String(100)),
    Column("subject", Text, nullable=False),
    Column("change", LargeBinary, nullable=False),
)

inbox_position = Table(
    "strangler_inbox_position",
    metadata,
    Column("source", String(100), primary_key=True),
    Column("name", String(200), primary_key=True),
    Column("value", Text, nullable=False),
)

seen = Table(
    "strangler_seen",
    metadata,
    Column("source", String(100), primary_key=True),
    Column("table_name", String(128), primary_key=True),
    # By code point on every engine: a key set is walked in the order in which it is compared.
    Column("key", Text().with_variant(Text(collation="C"), "postgresql"), primary_key=True),
    Column("image", LargeBinary, nullable=False),
)

log_topic = Table(
    "strangler_log_topic",
    metadata,
    Column("topic", String(200), primary_key=True),
    Column("partitions", Integer, nullable=False),
)

log_record = Table(
    "strangler_log_record",
    metadata,
    Column("topic", String(200), primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("offset", BigNumber, primary_key=True, autoincrement=False),
    Column("content", LargeBinary, nullable=False),
)

log_watermark = Table(
    "strangler_log_watermark",
    metadata,
    Column("topic", String(200), primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("as_of", Instant, nullable=False),
    Column("sequence", BigNumber, nullable=False),
    Column("revision", BigNumber, nullable=False),
)

route = Table(
    "strangler_route",
    metadata,
    Column("capability", String(100), primary_key=True),
    Column("consumer", String(100), primary_key=True),
    Column("stage", String(20), nullable=False),
    Column("share", Integer, nullable=False),
    Column("salt", String(100), nullable=False),
    Column("hash_version", Integer, nullable=False),
    Column("revision", Integer, nullable=False),
)

route_history = Table(
    "strangler_route_history",
    metadata,
    Column("id", BigNumber, primary_key=True, autoincrement=True),
    Column("at", Instant, nullable=False),
    Column("capability", String(100), nullable=False),
    Column("consumer", String(100), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("action", String(20), nullable=False),
    Column("was", JSON, nullable=False),
    Column("becomes", JSON, nullable=False),
    Column("who", String(200), nullable=False),
    Column("why", Text, nullable=False),
    Column("evidence", JSON, nullable=False),
    Column("config_hash", String(64), nullable=False),
    UniqueConstraint("capability", "consumer", "revision", name="uq_strangler_route_history_revision"),
)

serving = Table(
    "strangler_serving",
    metadata,
    Column("id", BigNumber, primary_key=True, autoincrement=True),
    Column("projection", String(100), nullable=False),
    Column("version", Integer, nullable=False),
    Column("at", Instant, nullable=False),
    Column("who", String(200), nullable=False),
    Column("why", Text, nullable=False),
    Column("forced", JSON, nullable=False),
)
Index("ix_strangler_serving", serving.c.projection, serving.c.id)

shadow_run = Table(
    "strangler_shadow_run",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("capability", String(100), nullable=False),
    Column("versions", JSON, nullable=False),
    Column("started_at", Instant, nullable=False),
    Column("ended_at", Instant, nullable=False),
    Column("verdict", String(20), nullable=False),
    Column("config_hash", String(64), nullable=False),
    Column("outcome", JSON, nullable=False),
)
Index("ix_strangler_shadow_run", shadow_run.c.capability, shadow_run.c.ended_at)

discrepancy = Table(
    "strangler_discrepancy",
    metadata,
    Column("run_id", String(36), primary_key=True),
    Column("fingerprint", String(64), primary_key=True),
    Column("key", Text, primary_key=True),
    Column("capability", String(100), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("path", Text, nullable=False),
    Column("detail", JSON, nullable=False),
)
Index("ix_strangler_discrepancy_fingerprint", discrepancy.c.capability, discrepancy.c.fingerprint)

acceptance = Table(
    "strangler_acceptance",
    metadata,
    Column("capability", String(100), primary_key=True),
    Column("fingerprint", String(64), primary_key=True),
    Column("owner", String(200), nullable=False),
    Column("reason", Text, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("accepted_at", Instant, nullable=False),
)

verification = Table(
    "strangler_verification",
    metadata,
    Column("id", BigNumber, primary_key=True, autoincrement=True),
    Column("projection", String(100), nullable=False),
    Column("version", Integer, nullable=False),
    Column("at", Instant, nullable=False),
    Column("deterministic", Boolean, nullable=False),
    Column("code_hash", String(64), nullable=False),
    Column("upcaster_hash", String(64), nullable=False),
    Column("positions", JSON, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("skipped", JSON, nullable=False),
    Column("detail", Text, nullable=False),
    Column("drifted", Boolean, nullable=False, server_default=false()),
)

rehearsal = Table(
    "strangler_rehearsal",
    metadata,
    Column("id", BigNumber, primary_key=True, autoincrement=True),
    Column("capability", String(100), nullable=False),
    Column("consumer", String(100), nullable=False),
    Column("at", Instant, nullable=False),
    Column("passed", Boolean, nullable=False),
    Column("detail", Text, nullable=False),
)

waiver = Table(
    "strangler_waiver",
    metadata,
    Column("capability", String(100), primary_key=True),
    Column("gate", String(50), primary_key=True),
    Column("owner", String(200), nullable=False),
    Column("reason", Text, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("covers", JSON, nullable=False),
    Column("granted_at", Instant, nullable=False),
)
