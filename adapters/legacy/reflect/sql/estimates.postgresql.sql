-- How many rows the planner believes the tables of one schema to have; a table that was never analysed is not here.
SELECT r.relname AS name, sum(c.reltuples)::bigint AS estimate
FROM pg_class c
JOIN pg_class r ON r.oid = coalesce(pg_partition_root(c.oid), c.oid)
JOIN pg_namespace n ON n.oid = r.relnamespace
WHERE n.nspname = :schema AND c.relkind = 'r'
GROUP BY r.relname
HAVING min(c.reltuples) >= 0
