-- The state of a captured table :relation, as far as capture depends on it.
SELECT c.oid IS NOT NULL AS there,
       coalesce((SELECT tgenabled::text FROM pg_trigger
                 WHERE tgrelid = c.oid AND tgname = 'strangler_capture'), '-') AS rows,
       coalesce((SELECT tgenabled::text FROM pg_trigger
                 WHERE tgrelid = c.oid AND tgname = 'strangler_capture_truncate'), '-') AS truncation,
       coalesce((SELECT bool_or(attname = :subject) FROM pg_attribute
                 WHERE attrelid = c.oid AND NOT attisdropped), false) AS subject,
       coalesce(has_table_privilege(f.proowner, c.oid, 'SELECT'), false) AS readable,
       coalesce(row_security_active(c.oid), false) AS row_security,
       EXISTS (SELECT 1 FROM pg_inherits i JOIN pg_class k ON k.oid = i.inhrelid
               WHERE i.inhparent = c.oid AND NOT k.relispartition) AS inherited
FROM (SELECT to_regclass(:relation) AS oid) r
LEFT JOIN pg_class c ON c.oid = r.oid
LEFT JOIN pg_proc f ON f.proname = 'capture' AND f.pronamespace = to_regnamespace('strangler')
