-- Sessions whose statement has run for so many seconds and stands in a lock's queue, and who stands before them.
SELECT w.pid, w.application_name AS application, b.pid AS blocking_pid, b.usename AS blocking_user,
       b.application_name AS blocking_application, b.state AS blocking_state,
       extract(epoch FROM clock_timestamp() - w.query_start)::float AS age_seconds,
       (SELECT coalesce(l.relation::regclass::text, l.locktype) FROM pg_locks l
        WHERE l.pid = w.pid AND NOT l.granted LIMIT 1) AS "lock"
FROM pg_stat_activity w
CROSS JOIN LATERAL unnest(pg_blocking_pids(w.pid)) AS blocking(pid)
LEFT JOIN pg_stat_activity b ON b.pid = blocking.pid
WHERE w.wait_event_type = 'Lock' AND w.datname = current_database()
  AND clock_timestamp() - w.query_start >= make_interval(secs => :seconds)
ORDER BY w.query_start
LIMIT 10
