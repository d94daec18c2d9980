-- The columns of the table :name in :schema by which the engine may refuse an UPDATE: of unique indexes, of foreign keys.
SELECT s.COLUMN_NAME AS name
FROM information_schema.STATISTICS s
WHERE s.TABLE_SCHEMA = :schema AND s.TABLE_NAME = :name AND s.NON_UNIQUE = 0 AND s.COLUMN_NAME IS NOT NULL
UNION
SELECT k.COLUMN_NAME
FROM information_schema.KEY_COLUMN_USAGE k
WHERE k.TABLE_SCHEMA = :schema AND k.TABLE_NAME = :name AND k.REFERENCED_TABLE_NAME IS NOT NULL
UNION
SELECT k.REFERENCED_COLUMN_NAME
FROM information_schema.KEY_COLUMN_USAGE k
WHERE k.TABLE_SCHEMA = :schema AND k.REFERENCED_TABLE_NAME = :name
ORDER BY 1
