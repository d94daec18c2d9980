-- Rows of the tables names (schema.table), as the planner estimates them.
SELECT n.nspname || '.' || c.relname AS name, greatest(c.reltuples, 0)::bigint AS rows
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname || '.' || c.relname = ANY(:names)
