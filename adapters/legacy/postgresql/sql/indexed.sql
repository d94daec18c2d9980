-- Does an index of the table :relation begin with the column :column?
SELECT EXISTS (
  SELECT 1
  FROM pg_index i
  JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
  WHERE i.indrelid = to_regclass(:relation) AND i.indisvalid AND i.indpred IS NULL AND a.attname = :column
)
