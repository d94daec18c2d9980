-- The columns of each index of the tables names (lower case) of this database, in their order.
SELECT LOWER(TABLE_NAME) AS name, GROUP_CONCAT(LOWER(COLUMN_NAME) ORDER BY SEQ_IN_INDEX) AS columns
FROM information_schema.STATISTICS
WHERE TABLE_SCHEMA = DATABASE() AND LOWER(TABLE_NAME) IN :names
GROUP BY TABLE_NAME, INDEX_NAME
