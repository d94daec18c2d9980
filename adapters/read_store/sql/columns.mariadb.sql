-- Which columns does a table have, in order, and of which types?
SELECT column_name AS name, column_type AS type
FROM information_schema.columns
WHERE table_schema = database() AND table_name = :table
ORDER BY ordinal_position
