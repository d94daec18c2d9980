-- Captured changes that wait, and the age of the oldest
SELECT count(*) AS waiting, extract(epoch FROM clock_timestamp() - min(captured_at))::float AS oldest_seconds
FROM strangler.strangler_change
