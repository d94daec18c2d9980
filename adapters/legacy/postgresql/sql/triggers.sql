-- The state of a captured table :relation (:table to capture), as far as capture depends on it. Every table that holds
-- its rows needs the trigger that fires for TRUNCATE: the partitions of a partitioned one, else the table itself.
SELECT c.oid, c.oid IS NOT NULL AS there,
       ARRAY(SELECT w.name || ' ' || coalesce(t.tgenabled::text, '-')
             FROM unnest(CAST(:rows AS text[])) w (name)
             LEFT JOIN pg_trigger t ON t.tgrelid = c.oid AND t.tgname = w.name) AS rows,
       ARRAY(SELECT quote_ident(n.nspname) || '.' || quote_ident(k.relname) || ' ' || coalesce(t.tgenabled::text, '-')
             FROM pg_class k JOIN pg_namespace n ON n.oid = k.relnamespace
             LEFT JOIN pg_trigger t ON t.tgrelid = k.oid AND t.tgname = :truncation
             WHERE CASE WHEN c.relkind = 'p'
                        THEN k.oid IN (SELECT relid FROM pg_partition_tree(c.oid) WHERE isleaf)
                        ELSE k.oid = c.oid END ORDER BY 1) AS truncation,
       -- a partition has the triggers of its table, unless somebody disabled them there
       ARRAY(SELECT quote_ident(n.nspname) || '.' || quote_ident(k.relname) || ' ' || coalesce(t.tgenabled::text, '-')
             FROM pg_partition_tree(c.oid) p JOIN pg_class k ON k.oid = p.relid
             JOIN pg_namespace n ON n.oid = k.relnamespace
             LEFT JOIN pg_trigger t ON t.tgrelid = k.oid AND t.tgname = ANY(CAST(:rows AS text[]))
             WHERE c.relkind = 'p' AND p.isleaf ORDER BY 1) AS partitions,
       -- triggers of this table elsewhere: it was renamed, or another took its place
       ARRAY(SELECT quote_ident(n.nspname) || '.' || quote_ident(k.relname)
             FROM pg_trigger t JOIN pg_class k ON k.oid = t.tgrelid JOIN pg_namespace n ON n.oid = k.relnamespace
             WHERE t.tgfoid IN (SELECT p.oid FROM pg_proc p WHERE p.pronamespace = to_regnamespace('strangler')
                                AND p.proname IN ('capture', 'capture_statement'))
               AND t.tgparentid = 0 AND k.oid IS DISTINCT FROM c.oid
               AND split_part(encode(t.tgargs, 'escape'), E'\\000', 1) = encode(convert_to(:table, 'UTF8'), 'escape')
             ORDER BY 1) AS elsewhere,
       (SELECT count(*) FROM pg_attribute
        WHERE attrelid = c.oid AND NOT attisdropped AND attname = ANY(CAST(:subjects AS text[])))
         = cardinality(CAST(:subjects AS text[])) AS subject,
       coalesce(has_table_privilege(f.proowner, c.oid, 'SELECT'), false) AS readable,
       coalesce(row_security_active(c.oid), false) AS row_security,
       c.relpersistence = 'u' AS unlogged,
       EXISTS (SELECT 1 FROM pg_subscription_rel s WHERE s.srrelid = c.oid) AS subscribed,
       EXISTS (SELECT 1 FROM pg_inherits i WHERE i.inhrelid = c.oid) AS inherits,
       -- a table's owner may give a column a type whose cast runs with the rights of the owner of capture
       (SELECT rolsuper FROM pg_roles WHERE oid = f.proowner)
         AND NOT (SELECT rolsuper FROM pg_roles WHERE oid = c.relowner) AS lent,
       EXISTS (SELECT 1 FROM pg_inherits i JOIN pg_class k ON k.oid = i.inhrelid
               WHERE i.inhparent = c.oid AND NOT k.relispartition) AS inherited
FROM (SELECT to_regclass(:relation) AS oid) r
LEFT JOIN pg_class c ON c.oid = r.oid
LEFT JOIN pg_proc f ON f.proname = 'capture' AND f.pronamespace = to_regnamespace('strangler')
