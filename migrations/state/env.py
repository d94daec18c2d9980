"""Alembic's entry into the `state` environment."""

from migrations.environment import run

run("state")
