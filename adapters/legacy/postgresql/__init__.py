"""PostgreSQL as a legacy source: guarded reads, and capture by triggers for each row or statement."""

from adapters.legacy.postgresql.source import PostgresSource

__all__ = ["PostgresSource"]
