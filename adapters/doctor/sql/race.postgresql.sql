-- Columns of a table, in order: what has to be filled, and what gives the number that a poller orders by.
SELECT quote_ident(n.nspname) AS schema, quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS relation,
       a.attname AS name, t.typname AS kind, a.attnotnull AS required,
       CASE WHEN a.atttypmod > 4 AND t.typname IN ('varchar', 'bpchar') THEN a.atttypmod - 4 END AS length,
       t.typtype = 'e' AS enumerated, format_type(a.atttypid, a.atttypmod) AS type,
       a.attidentity <> '' AS identity, a.attgenerated <> '' AS generated,
       d.adbin IS NOT NULL AS filled, s.seqcache AS cache, s.seqincrement AS increment
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
LEFT JOIN pg_sequence s ON s.seqrelid = (
  SELECT p.refobjid FROM pg_depend p JOIN pg_class q ON q.oid = p.refobjid AND q.relkind = 'S'
  WHERE p.classid = 'pg_attrdef'::regclass AND p.objid = d.oid
  UNION ALL
  SELECT p.objid FROM pg_depend p JOIN pg_class q ON q.oid = p.objid AND q.relkind = 'S'
  WHERE a.attidentity <> '' AND p.refobjid = c.oid AND p.refobjsubid = a.attnum AND p.deptype = 'i'
  LIMIT 1)
WHERE c.oid = to_regclass(:name)
ORDER BY a.attnum
