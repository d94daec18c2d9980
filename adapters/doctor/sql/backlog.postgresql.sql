-- Captured changes that wait, the age of the oldest, and how many rows the table has beside them (an estimate).
SELECT count(*) AS waiting, extract(epoch FROM clock_timestamp() - min(captured_at))::float AS oldest_seconds,
       (SELECT greatest(reltuples, 0)::bigint FROM pg_class
        WHERE oid = 'strangler.strangler_change'::regclass) - count(*) AS marked
FROM strangler.strangler_change
WHERE marked_at IS NULL
