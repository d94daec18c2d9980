-- Bytes of all partitions of the archive, with their indexes and what is stored out of line.
SELECT sum(pg_total_relation_size(i.inhrelid))
FROM pg_inherits i
WHERE i.inhparent = to_regclass('strangler_event')
