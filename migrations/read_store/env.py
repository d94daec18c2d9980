"""Alembic's entry into the `read_store` environment."""

from migrations.environment import run

run("read_store")
