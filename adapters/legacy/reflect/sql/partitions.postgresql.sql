-- The partitions of one schema, each with the partitioned table it is a part of.
SELECT c.relname AS partition, r.relname AS root
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_class r ON r.oid = pg_partition_root(c.oid)
WHERE n.nspname = :schema AND c.relispartition AND c.relkind IN ('r', 'p')
