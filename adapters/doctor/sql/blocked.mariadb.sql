-- Sessions that have waited for a row's lock for so many seconds, and who holds it.
SELECT r.trx_mysql_thread_id AS pid, b.trx_mysql_thread_id AS blocking_pid, p.USER AS blocking_user,
       p.COMMAND AS blocking_state, TIMESTAMPDIFF(SECOND, r.trx_wait_started, NOW()) AS age_seconds
FROM information_schema.INNODB_LOCK_WAITS w
JOIN information_schema.INNODB_TRX r ON r.trx_id = w.requesting_trx_id
JOIN information_schema.INNODB_TRX b ON b.trx_id = w.blocking_trx_id
LEFT JOIN information_schema.PROCESSLIST p ON p.ID = b.trx_mysql_thread_id
WHERE TIMESTAMPDIFF(SECOND, r.trx_wait_started, NOW()) >= :seconds
LIMIT 10
