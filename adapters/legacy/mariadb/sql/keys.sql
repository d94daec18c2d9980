-- The columns of the unique indexes over columns that are NOT NULL of the table :name in :schema, the primary key first.
SELECT s.INDEX_NAME AS index_name, s.COLUMN_NAME AS name
FROM information_schema.STATISTICS s
WHERE s.TABLE_SCHEMA = :schema AND s.TABLE_NAME = :name AND s.NON_UNIQUE = 0
  AND NOT EXISTS (SELECT 1 FROM information_schema.STATISTICS o
                  WHERE o.TABLE_SCHEMA = :schema AND o.TABLE_NAME = :name AND o.INDEX_NAME = s.INDEX_NAME
                    AND (o.NULLABLE = 'YES' OR o.COLUMN_NAME IS NULL))
ORDER BY s.INDEX_NAME <> 'PRIMARY', s.INDEX_NAME, s.SEQ_IN_INDEX
