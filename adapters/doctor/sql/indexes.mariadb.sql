-- The first column of each index of the tables names (lower case) of this database.
SELECT LOWER(TABLE_NAME) AS name, LOWER(COLUMN_NAME) AS first
FROM information_schema.STATISTICS
WHERE TABLE_SCHEMA = DATABASE() AND SEQ_IN_INDEX = 1 AND LOWER(TABLE_NAME) IN :names
