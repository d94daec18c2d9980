-- The columns of the relations :names (lower case, with or without their schema) that this session's search path, or the
-- schema they are given with, finds.
SELECT c.oid, n.nspname AS schema, c.relname AS name, a.attname AS column,
       format_type(a.atttypid, a.atttypmod) AS type, t.typname AS kind,
       quote_ident(ln.nspname) || '.' || quote_ident(l.collname) AS collation
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_collation l ON l.oid = a.attcollation
LEFT JOIN pg_namespace ln ON ln.oid = l.collnamespace
WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm')
  AND ((lower(c.relname) = ANY(:names) AND pg_table_is_visible(c.oid))
       OR lower(n.nspname || '.' || c.relname) = ANY(:names))
ORDER BY c.oid, a.attnum
