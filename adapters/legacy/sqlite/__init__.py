"""SQLite as a legacy source: guarded reads, and capture by triggers."""
