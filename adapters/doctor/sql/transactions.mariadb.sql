-- Transactions of others that have been open for so many seconds.
SELECT t.trx_mysql_thread_id AS pid, p.USER AS user, p.HOST AS host, p.DB AS db, p.COMMAND AS command,
       TIMESTAMPDIFF(SECOND, t.trx_started, NOW()) AS age_seconds, t.trx_rows_modified AS written, t.trx_state AS state
FROM information_schema.INNODB_TRX t
LEFT JOIN information_schema.PROCESSLIST p ON p.ID = t.trx_mysql_thread_id
WHERE t.trx_mysql_thread_id <> CONNECTION_ID() AND t.trx_mysql_thread_id <> 0
  AND TIMESTAMPDIFF(SECOND, t.trx_started, NOW()) >= :seconds
ORDER BY t.trx_started
LIMIT 10
