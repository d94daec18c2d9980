-- TRUNCATE fires no row triggers: before it happens, under its lock, every row is recorded as deleted.
-- ONLY: a table that is truncated with this one fires its own trigger. Without row security: a row that its policies
-- hide from the owner of capture would go without a change, so that the TRUNCATE fails instead.
CREATE FUNCTION strangler.capture_truncate() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET intervalstyle = 'iso_8601'
SET bytea_output = 'hex' SET extra_float_digits = 1 SET row_security = off
AS $function$
BEGIN
  EXECUTE format(
    'INSERT INTO strangler.strangler_change (transaction, table_name, op, subject, before, captured_at)'
    ' SELECT pg_current_xact_id()::text, $1, ''delete'','
    ' CASE WHEN $7 IS NULL THEN coalesce(rtrim(r.image ->> $2), '''') ELSE strangler.joined_subject(r.image, $7) END,'
    ' CASE WHEN $3 IS NULL THEN r.image ELSE (SELECT json_object_agg(key, value) FROM json_each(r.image)'
    ' WHERE (key = ANY($4)) = ($3 = ''columns'')) END, clock_timestamp()'
    ' FROM (SELECT regexp_replace(row_to_json(t)::text, $5, $6, ''g'')::json AS image FROM ONLY %I.%I t OFFSET 0) r',
    TG_TABLE_SCHEMA, TG_TABLE_NAME)
  USING TG_ARGV[0], TG_ARGV[1], nullif(TG_ARGV[2], ''), TG_ARGV[3]::text[],
        E'(?<!\\\\)((?:\\\\\\\\)*)\\\\u0000', E'\\1\\\\u0001',
        TG_ARGV[4]::text[];
  RETURN NULL;
END
$function$
