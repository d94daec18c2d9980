"""SQLite as a legacy source: guarded reads, and capture by triggers."""

from adapters.legacy.sqlite.source import SqliteSource

__all__ = ["SqliteSource"]
