-- Size, dead rows, last vacuum and our rights, for the tables names (lower case, with or without their schema).
-- mighty is an owner that rules over more than its tables, itself or through a membership.
SELECT lower(c.relname) AS name, quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS relation,
       n.nspname AS schema, greatest(c.reltuples, 0)::bigint AS rows,
       coalesce(s.n_live_tup, 0) AS live, coalesce(s.n_dead_tup, 0) AS dead,
       extract(epoch FROM clock_timestamp() - greatest(s.last_autovacuum, s.last_vacuum))::float AS vacuumed_seconds,
       pg_table_size(c.oid) AS table_bytes, pg_indexes_size(c.oid) AS index_bytes,
       (coalesce(c.reloptions::text LIKE '%autovacuum_enabled=false%', false)
         OR current_setting('autovacuum') = 'off') AS never_vacuumed,
       has_schema_privilege(n.oid, 'USAGE') AS usage,
       has_table_privilege(c.oid, 'SELECT') AS "select", has_table_privilege(c.oid, 'INSERT') AS "insert",
       has_table_privilege(c.oid, 'UPDATE') AS "update", has_table_privilege(c.oid, 'DELETE') AS "delete",
       has_table_privilege(c.oid, 'TRIGGER') AS "trigger", pg_has_role(c.relowner, 'USAGE') AS owns,
       pg_get_userbyid(c.relowner) AS owner,
       (SELECT bool_or(r.rolsuper OR r.rolcreaterole OR r.rolbypassrls OR r.rolreplication) FROM pg_roles r
        WHERE pg_has_role(c.relowner, r.oid, 'MEMBER')) AS mighty,
       has_database_privilege(c.relowner, current_database(), 'CREATE') AS owner_creates
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_stat_all_tables s ON s.relid = c.oid
WHERE c.relkind IN ('r', 'p')
  AND ((lower(c.relname) = ANY(:names) AND pg_table_is_visible(c.oid))
       OR lower(n.nspname || '.' || c.relname) = ANY(:names))
