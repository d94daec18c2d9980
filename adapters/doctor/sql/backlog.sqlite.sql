-- Captured changes that wait, and the age of the oldest
SELECT count(*) AS waiting, (julianday('now') - julianday(min(captured_at))) * 86400 AS oldest_seconds
FROM strangler_change
