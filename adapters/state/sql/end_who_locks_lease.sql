-- End the transactions that still lock leases which have run out: their processes stand still in the midst of a COPY,
-- where the server's own limits do not reach them. Only those of this role, which began before everybody's patience.
SELECT pg_terminate_backend(lock.pid)
FROM strangler_lease AS lease
JOIN pg_locks AS lock ON lock.locktype = 'transactionid' AND lock.transactionid = lease.xmax AND lock.granted
JOIN pg_stat_activity AS session ON session.pid = lock.pid AND session.usename = current_user
WHERE (lease.name IN (:name, :whole) OR starts_with(lease.name, :family))
  AND lease.expires_at <= :now
  AND session.xact_start <= clock_timestamp() - make_interval(secs => :patience)
