-- Captured changes that wait, the age of the oldest, and how many rows the table has beside them (an estimate).
SELECT COUNT(*) AS waiting, TIMESTAMPDIFF(SECOND, MIN(captured_at), UTC_TIMESTAMP(6)) AS oldest_seconds,
       COALESCE((SELECT TABLE_ROWS FROM information_schema.TABLES
                 WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'strangler_change'), 0) - COUNT(*) AS marked
FROM strangler_change
WHERE marked_at IS NULL
