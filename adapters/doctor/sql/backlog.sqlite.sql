-- Captured changes that wait, the age of the oldest, and how many rows the table has beside them (at most).
SELECT count(*) AS waiting, (julianday('now') - julianday(min(captured_at))) * 86400 AS oldest_seconds,
       coalesce((SELECT max(number) - min(number) + 1 FROM strangler_change), 0) - count(*) AS marked
FROM strangler_change
WHERE marked_at IS NULL
