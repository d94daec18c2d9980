"""PostgreSQL as a legacy source: guarded reads, and capture by triggers for each row or statement."""
