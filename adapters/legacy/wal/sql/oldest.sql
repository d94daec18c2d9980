-- Transactions that have been open for minutes and wrote: the server reads the log again from where the oldest began.
SELECT coalesce(CAST(a.pid AS text), 'prepared ' || p.gid) AS who,
       CAST(extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, p.prepared)) AS int) AS seconds
FROM (SELECT pid, xact_start FROM pg_stat_activity
      WHERE backend_xid IS NOT NULL AND xact_start < clock_timestamp() - interval '5 minutes') a
FULL JOIN (SELECT gid, prepared FROM pg_prepared_xacts WHERE prepared < clock_timestamp() - interval '5 minutes') p ON false
ORDER BY 2 DESC LIMIT 5
