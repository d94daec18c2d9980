-- Transactions that were prepared so many seconds ago or earlier and neither committed nor rolled back.
SELECT gid, owner AS "user", database,
       extract(epoch FROM clock_timestamp() - prepared)::float AS age_seconds
FROM pg_prepared_xacts
WHERE clock_timestamp() - prepared >= make_interval(secs => :seconds)
ORDER BY prepared
LIMIT 10
