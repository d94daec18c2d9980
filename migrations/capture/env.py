"""Alembic's entry into the `capture` environment."""

from migrations.environment import run

run("capture")
