-- What reading the log needs of the server and of the role that reads it.
SELECT current_setting('wal_level') AS wal_level, pg_is_in_recovery() AS in_recovery, current_user AS role,
       r.rolsuper OR r.rolreplication
         OR coalesce((SELECT pg_has_role(oid, 'MEMBER') FROM pg_roles WHERE rolname = 'rds_replication'), false)
         AS may_replicate,
       r.rolsuper OR has_database_privilege(current_database(), 'CREATE') AS may_publish,
       CAST(current_setting('max_replication_slots') AS int) AS slots,
       (SELECT count(*) FROM pg_replication_slots) AS used,
       (SELECT database FROM pg_replication_slots WHERE slot_name = :slot) AS taken_by,
       current_database() AS here
FROM pg_roles r WHERE r.rolname = current_user
