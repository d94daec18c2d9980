-- The sessions that a waiting one waits for, straight or through others, and that wait for their client in turn: this role's,
-- in transactions that began before anybody's patience was over. Two rows of one session are equal as long as it does nothing:
-- no statement begins or ends, and nothing comes for its COPY.
WITH RECURSIVE way (pid) AS (
    SELECT unnest(pg_blocking_pids(:waiter))
    UNION
    SELECT unnest(pg_blocking_pids(way.pid)) FROM way
)
SELECT session.pid, session.xact_start AS begun, session.query_start, session.state_change, copy.bytes_processed
FROM way
JOIN pg_stat_activity AS session ON session.pid = way.pid AND session.usename = current_user
LEFT JOIN pg_stat_progress_copy AS copy ON copy.pid = way.pid
WHERE session.wait_event_type = 'Client'
  AND session.xact_start <= clock_timestamp() - make_interval(secs => :patience)
