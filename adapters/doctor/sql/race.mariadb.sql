-- Columns of a table of this database, in order: what has to be filled, and what gives the number.
SELECT TABLE_NAME AS relation, COLUMN_NAME AS name, DATA_TYPE AS kind, IS_NULLABLE = 'NO' AS required,
       CHARACTER_MAXIMUM_LENGTH AS length, DATA_TYPE = 'enum' AS enumerated,
       EXTRA LIKE '%auto_increment%' AS identity, EXTRA LIKE '%GENERATED%' AS generated,
       COLUMN_DEFAULT IS NOT NULL AS filled
FROM information_schema.COLUMNS
WHERE TABLE_SCHEMA = DATABASE() AND LOWER(TABLE_NAME) = LOWER(:name)
ORDER BY ORDINAL_POSITION
