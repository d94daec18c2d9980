-- Indexes of the tables names (lower case, with or without their schema): their columns in order, and whether it counts.
SELECT lower(c.relname) AS name, i.indexrelid::regclass::text AS index, i.indisvalid AS valid,
       (SELECT string_agg(lower(coalesce(a.attname, '')), ',' ORDER BY k.place)
        FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place)
        LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum) AS columns,
       i.indpred IS NOT NULL AS partial
FROM pg_index i
JOIN pg_class c ON c.oid = i.indrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE ((lower(c.relname) = ANY(:names) AND pg_table_is_visible(c.oid))
       OR lower(n.nspname || '.' || c.relname) = ANY(:names))
