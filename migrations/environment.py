"""What the three Alembic environments share: each has its own tables, its own version table, one database lock."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from alembic import context
from sqlalchemy import Connection, MetaData, text

from migrations.schema import capture, read_store, state

_LOCK = 5706253


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """One set of tables with a history of its own."""

    name: str
    metadata: Callable[[str], MetaData]
    """dialect name to tables"""
    schema: Callable[[str], str | None] = lambda _dialect: None

    @property
    def folder(self) -> Path:
        return Path(__file__).parent / self.name

    @property
    def version_table(self) -> str:
        return f"strangler_{self.name}_version"


ENVIRONMENTS: Mapping[str, Environment] = MappingProxyType(
    {
        one.name: one
        for one in (
            Environment(name="state", metadata=lambda _dialect: state.metadata),
            Environment(name="read_store", metadata=lambda _dialect: read_store.metadata),
            Environment(name="capture", metadata=capture.metadata_of, schema=capture.schema_of),
        )
    }
)


def run(name: str) -> None:
    """Run the migrations of one environment: what each `env.py` calls."""
    environment = ENVIRONMENTS[name]
    connection: Connection | None = context.config.attributes.get("connection")
    dialect = connection.dialect.name if connection else context.config.attributes["dialect"]
    schema = environment.schema(dialect)
    where = {"connection": connection} if connection else {"dialect_name": dialect, "literal_binds": True}
    context.configure(
        target_metadata=environment.metadata(dialect),
        version_table=environment.version_table,
        version_table_schema=schema,
        include_schemas=schema is not None,
        transaction_per_migration=False,
        **where,
    )
    if connection is not None and dialect == "postgresql":
        # Two processes that start together migrate one after the other. (SQLite has one writer anyway.)
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    if schema is not None and not context.config.attributes.get("down", False):
        context.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
    with context.begin_transaction():
        context.run_migrations()
