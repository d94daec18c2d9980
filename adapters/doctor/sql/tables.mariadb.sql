-- Engine and size of the tables names (lower case) of this database.
SELECT LOWER(TABLE_NAME) AS name, TABLE_NAME AS relation, ENGINE AS engine, COALESCE(TABLE_ROWS, 0) AS row_count,
       COALESCE(DATA_LENGTH, 0) AS table_bytes, COALESCE(INDEX_LENGTH, 0) AS index_bytes,
       COALESCE(DATA_FREE, 0) AS free_bytes
FROM information_schema.TABLES
WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE = 'BASE TABLE' AND LOWER(TABLE_NAME) IN :names
