-- The table and, if it is partitioned, its partitions: what each of them writes to the log of a row's former state.
SELECT CAST(c.oid AS bigint) AS oid, c.oid = root.oid AS root, c.relkind, c.relispartition, c.relpersistence,
       quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS relation, c.relreplident AS identity,
       (SELECT quote_ident(x.relname) FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
        WHERE i.indrelid = c.oid AND i.indisreplident) AS identity_index,
       ARRAY(SELECT CAST(a.attname AS text) FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey)
             WHERE i.indrelid = c.oid
               AND CASE c.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident ELSE false END)
         AS identity_columns,
       pg_has_role(c.relowner, 'USAGE') AS owned,
       row_security_active(c.oid) AS row_security,
       ARRAY(SELECT CAST(a.attname AS text) FROM pg_attribute a
             WHERE a.attrelid = c.oid AND a.attgenerated <> '' AND NOT a.attisdropped) AS generated,
       EXISTS (SELECT 1 FROM pg_inherits i JOIN pg_class k ON k.oid = i.inhrelid
               WHERE i.inhparent = c.oid AND NOT k.relispartition) AS inherited
FROM (SELECT to_regclass(:relation) AS oid) root
JOIN LATERAL (SELECT root.oid AS relid UNION SELECT relid FROM pg_partition_tree(root.oid)) tree ON true
JOIN pg_class c ON c.oid = tree.relid
JOIN pg_namespace n ON n.oid = c.relnamespace
ORDER BY c.oid
