-- The columns of the best key of the table :oid: its primary key, or else a unique index over columns that are NOT NULL.
-- Not a deferrable one: two rows may hold such a key for a while, and no change tells which of them it means.
SELECT a.attname
FROM (
  SELECT i.indexrelid, i.indrelid, i.indkey, i.indnkeyatts
  FROM pg_index i
  WHERE i.indrelid = :oid AND i.indisvalid AND i.indimmediate
    AND (i.indisprimary
         OR (i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL
             AND NOT EXISTS (SELECT 1 FROM pg_attribute m
                             WHERE m.attrelid = i.indrelid AND m.attnum = ANY(i.indkey) AND NOT m.attnotnull)))
  ORDER BY i.indisprimary DESC, i.indexrelid
  LIMIT 1
) best
CROSS JOIN LATERAL unnest(best.indkey::int2[]) WITH ORDINALITY AS k(attnum, place)
JOIN pg_attribute a ON a.attrelid = best.indrelid AND a.attnum = k.attnum
WHERE k.place <= best.indnkeyatts
ORDER BY k.place
