"""The toolkit's own tables: what they are (`schema`), and how they come and go (Alembic environments)."""
