-- Columns of a table, in order: what has to be filled, and which is the row's own number.
SELECT m.name AS relation, m.sql AS made, x.name AS name, lower(x.type) AS kind, x."notnull" OR x.pk > 0 AS required,
       NULL AS length, 0 AS enumerated, x.pk = 1 AND lower(x.type) = 'integer' AS identity, x.hidden > 0 AS generated,
       x.dflt_value IS NOT NULL AS filled
FROM sqlite_master m, pragma_table_xinfo(m.name) x
WHERE m.type = 'table' AND lower(m.name) = lower(:name)
ORDER BY x.cid
