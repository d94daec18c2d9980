-- TRUNCATE fires no row triggers: before it happens, under its lock, every row is recorded as deleted.
CREATE FUNCTION strangler.capture_truncate() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET intervalstyle = 'iso_8601'
SET bytea_output = 'hex' SET extra_float_digits = 1
AS $function$
BEGIN
  EXECUTE format(
    'INSERT INTO strangler.strangler_change (transaction, table_name, op, subject, before, captured_at)'
    ' SELECT pg_current_xact_id()::text, $1, ''delete'', coalesce(rtrim(to_jsonb(t) ->> $2), ''''),'
    ' to_jsonb(t)::text, clock_timestamp() FROM %I.%I t', TG_TABLE_SCHEMA, TG_TABLE_NAME)
  USING TG_ARGV[0], TG_ARGV[1];
  RETURN NULL;
END
$function$
