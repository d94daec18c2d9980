-- Replication slots of this server, with the log that each holds back and the age of what it keeps vacuum from.
SELECT slot_name AS slot, slot_type AS kind, active, coalesce(database = current_database(), false) AS here, coalesce(wal_status, 'reserved') AS wal_status,
       coalesce(pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn()
                                     ELSE pg_current_wal_lsn() END, restart_lsn), 0)::bigint AS retained_bytes,
       greatest(age(xmin), age(catalog_xmin)) AS pinned_transactions,
       xmin IS NOT NULL AS pins_rows,
       current_setting('max_slot_wal_keep_size') AS keep_size
FROM pg_replication_slots
ORDER BY slot_name
