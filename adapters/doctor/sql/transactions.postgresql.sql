-- Transactions of others that have been open for so many seconds, with an id or a snapshot that vacuum has to respect.
SELECT a.pid, a.usename AS "user", a.application_name AS application, a.state, a.datname AS database,
       extract(epoch FROM clock_timestamp() - a.xact_start)::float AS age_seconds,
       a.backend_xid IS NOT NULL AS writes
FROM pg_stat_activity a
WHERE a.pid <> pg_backend_pid() AND a.xact_start IS NOT NULL AND a.backend_type = 'client backend'
  AND (a.backend_xid IS NOT NULL OR a.backend_xmin IS NOT NULL OR a.state LIKE 'idle in transaction%')
  AND clock_timestamp() - a.xact_start >= make_interval(secs => :seconds)
ORDER BY a.xact_start
LIMIT 10
