"""The tables as SQLAlchemy sees them. Three sets, each with its own Alembic environment."""
