-- What this session is connected to: version, role, time zone, connections, and whether its own settings arrived.
SELECT current_setting('server_version') AS version,
       current_setting('server_version_num')::int AS number,
       pg_is_in_recovery() AS standby,
       current_setting('transaction_read_only') AS read_only,
       current_setting('TimeZone') AS zone,
       current_setting('wal_level') AS wal_level,
       current_setting('max_replication_slots')::int
         - (SELECT count(*) FROM pg_replication_slots) AS slots_left,
       current_setting('application_name') AS application,
       current_user AS role,
       current_database() AS database,
       (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS superuser,
       (SELECT rolreplication FROM pg_roles WHERE rolname = current_user) AS replication,
       has_database_privilege(current_database(), 'CREATE') AS creates,
       pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS sees_others,
       current_setting('max_connections')::int
         - current_setting('superuser_reserved_connections')::int AS places,
       (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS used,
       (SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user) AS role_places,
       (SELECT count(*) FROM pg_stat_activity WHERE usename = current_user) AS role_used,
       (SELECT datconnlimit FROM pg_database WHERE datname = current_database()) AS database_places,
       (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()) AS database_used
