-- Indexes of the tables names (lower case, with or without their schema): what each begins with, and whether it counts.
SELECT lower(c.relname) AS name, i.indexrelid::regclass::text AS index, i.indisvalid AS valid,
       lower(coalesce(a.attname, '')) AS first, i.indpred IS NOT NULL AS partial
FROM pg_index i
JOIN pg_class c ON c.oid = i.indrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
WHERE ((lower(c.relname) = ANY(:names) AND pg_table_is_visible(c.oid))
       OR lower(n.nspname || '.' || c.relname) = ANY(:names))
