-- Roles and databases whose sessions begin with session_replication_role = replica.
SELECT coalesce(pg_get_userbyid(nullif(setrole, 0)), 'every role') AS role,
       coalesce((SELECT datname FROM pg_database WHERE oid = setdatabase), 'every database') AS database
FROM pg_db_role_setting
WHERE 'session_replication_role=replica' = ANY(setconfig)
