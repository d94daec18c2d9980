-- Which of the tables names (lower case, with or without their schema) a publication holds, and how many slots are left.
SELECT c.relname AS "table",
       EXISTS (SELECT 1 FROM pg_publication_tables p
               WHERE p.schemaname = n.nspname AND p.tablename = c.relname) AS published,
       c.relreplident = 'f' AS full_identity,
       current_setting('max_replication_slots')::int - (SELECT count(*) FROM pg_replication_slots) AS slots_left
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p')
  AND ((lower(c.relname) = ANY(:names) AND pg_table_is_visible(c.oid))
       OR lower(n.nspname || '.' || c.relname) = ANY(:names))
