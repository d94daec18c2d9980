-- Waiting changes of transactions that had committed when the snapshot :token was taken.
SELECT count(*)
FROM strangler.strangler_change c
WHERE pg_visible_in_snapshot(c.transaction::xid8, CAST(:token AS pg_snapshot))
