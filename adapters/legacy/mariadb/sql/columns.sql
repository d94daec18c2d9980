-- The columns of the tables called :name (in any case) in the database :schema, in their order.
-- What a history of versions adds by itself is left out: a row does not have it before it is stored.
SELECT c.TABLE_SCHEMA AS schema_name, c.TABLE_NAME AS table_name, c.COLUMN_NAME AS name,
       lower(c.DATA_TYPE) AS kind, lower(c.COLUMN_TYPE) AS type, lower(c.EXTRA) AS extra,
       c.CHARACTER_SET_NAME AS charset, c.COLLATION_NAME AS collation,
       coalesce(c.DATETIME_PRECISION, 0) AS fraction, coalesce(c.NUMERIC_SCALE, 0) AS scale,
       t.TABLE_TYPE AS table_type, coalesce(t.ENGINE, '') AS engine
FROM information_schema.COLUMNS c
JOIN information_schema.TABLES t ON t.TABLE_SCHEMA = c.TABLE_SCHEMA AND t.TABLE_NAME = c.TABLE_NAME
WHERE c.TABLE_SCHEMA = :schema AND t.TABLE_SCHEMA = :schema
  AND lower(c.TABLE_NAME) = lower(:name)
  AND coalesce(c.GENERATION_EXPRESSION, '') NOT IN ('ROW START', 'ROW END')
ORDER BY c.TABLE_NAME, c.ORDINAL_POSITION
