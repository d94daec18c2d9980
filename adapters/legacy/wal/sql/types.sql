-- What the asked types are made of: domains as their base type, arrays with the type of their elements.
-- by_server: types for which to_json does more than to take the text, and that only the server can read.
WITH RECURSIVE made_of AS (
  SELECT t.oid AS asked, t.oid, t.typtype, t.typbasetype
  FROM pg_type t WHERE t.oid = ANY(CAST(:oids AS oid[]))
  UNION ALL
  SELECT m.asked, t.oid, t.typtype, t.typbasetype
  FROM made_of m JOIN pg_type t ON t.oid = m.typbasetype WHERE m.typtype = 'd'
)
SELECT CAST(m.asked AS bigint) AS oid, format_type(t.oid, NULL) AS spelled,
       CASE WHEN n.nspname = 'pg_catalog' THEN t.typname ELSE '' END AS name,
       CASE WHEN t.typcategory = 'A' AND t.typlen = -1 THEN CAST(t.typelem AS bigint) ELSE 0 END AS element,
       CAST(t.typdelim AS text) AS delimiter,
       t.typtype = 'c' OR (t.oid >= 16384 AND EXISTS (
         SELECT 1 FROM pg_cast c
         WHERE c.castsource = t.oid AND c.casttarget = 'json'::regtype AND c.castmethod = 'f')) AS by_server
FROM made_of m JOIN pg_type t ON t.oid = m.oid JOIN pg_namespace n ON n.oid = t.typnamespace
WHERE m.typtype <> 'd'
