-- One row: the slot and the publication as they are, and the server that they are on. Places in the log as bytes.
SELECT s.slot_name IS NOT NULL AS there, coalesce(s.active, false) AS active, s.plugin, s.database, current_database() AS here, s.wal_status,
       CAST(s.confirmed_flush_lsn - '0/0' AS bigint) AS confirmed,
       CAST(pg_current_wal_insert_lsn() - s.restart_lsn AS bigint) AS retained,
       CAST(pg_current_wal_insert_lsn() - '0/0' AS bigint) AS inserted,
       CAST(pg_current_wal_flush_lsn() - '0/0' AS bigint) AS flushed,
       substr(pg_walfile_name(pg_current_wal_flush_lsn()), 1, 8) AS timeline,
       (SELECT CAST(system_identifier AS text) FROM pg_control_system()) AS system,
       CAST(CAST(pg_snapshot_xmax(pg_current_snapshot()) AS text) AS bigint) AS xmax,
       p.pubname IS NOT NULL AS published,
       EXISTS (SELECT 1 FROM pg_publication WHERE pubname = :outbox) AS outbox_published, obj_description(p.oid, 'pg_publication') AS registry
FROM (SELECT 1) one
LEFT JOIN pg_replication_slots s ON s.slot_name = :slot
LEFT JOIN pg_publication p ON p.pubname = :publication
