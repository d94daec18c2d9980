-- Which of these transactions had committed when the snapshot was taken.
SELECT t.xid FROM unnest(CAST(:xids AS text[])) AS t(xid)
WHERE pg_visible_in_snapshot(CAST(t.xid AS xid8), CAST(:snapshot AS pg_snapshot))
