-- Captured changes that wait, and the age of the oldest
SELECT COUNT(*) AS waiting, TIMESTAMPDIFF(SECOND, MIN(captured_at), UTC_TIMESTAMP(6)) AS oldest_seconds
FROM strangler_change
