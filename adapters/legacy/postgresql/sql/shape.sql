-- The columns of the table :oid with their types.
SELECT attname AS column, format_type(atttypid, atttypmod) AS type
FROM pg_attribute
WHERE attrelid = :oid AND attnum > 0 AND NOT attisdropped
ORDER BY attnum
