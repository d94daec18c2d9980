-- The numbers that the last step of a leader used up.
INSERT INTO strangler_unmarked (source, shards, shard, numbers)
VALUES (:source, :shards, :shard, :numbers)
ON CONFLICT (source, shards, shard) DO UPDATE SET numbers = excluded.numbers
