-- What this session is connected to: version, role, time zone, connections, log.
SELECT VERSION() AS version, CURRENT_USER() AS role, DATABASE() AS db, @@global.read_only AS read_only,
       @@time_zone AS zone, @@system_time_zone AS system_zone, @@max_connections AS places,
       (SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'THREADS_CONNECTED') AS used,
       @@max_user_connections AS role_places, @@log_bin AS log_bin,
       @@log_bin_trust_function_creators AS trusted
