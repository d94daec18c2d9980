-- End the sessions of these transactions, if they are this role's and began before everybody's patience was over.
SELECT pg_terminate_backend(lock.pid)
FROM pg_locks AS lock
JOIN pg_stat_activity AS session ON session.pid = lock.pid AND session.usename = current_user
WHERE lock.locktype = 'transactionid' AND lock.granted
  AND lock.transactionid::text = ANY(:holders)
  AND session.xact_start <= clock_timestamp() - make_interval(secs => :patience)
