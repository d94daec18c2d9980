-- Arguments: the table's name, its subject column; then, where not all columns are captured, 'columns' or 'ignore' (or nothing)
-- and their names; then, where several columns hold the subject, all of these. Nothing here names a column of the table: one that is dropped or renamed must not break the application.
-- SECURITY DEFINER: the application's roles need no right on the capture schema.
-- A column of type json may hold \u0000, which no text can: it becomes \u0001, or the application's write would fail.
-- The settings make a value's text the same in every session, and the same as backfill reads it.
CREATE FUNCTION strangler.capture() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET intervalstyle = 'iso_8601'
SET bytea_output = 'hex' SET extra_float_digits = 1
AS $function$
DECLARE
  old_row json;
  new_row json;
  old_subject text;
  new_subject text;
BEGIN
  IF TG_OP <> 'INSERT' THEN
    old_row := row_to_json(OLD);
    IF strpos(old_row::text, E'\\u0000') > 0 THEN
      old_row := regexp_replace(old_row::text, E'(?<!\\\\)((?:\\\\\\\\)*)\\\\u0000', E'\\1\\\\u0001', 'g')::json;
    END IF;
    old_subject := CASE WHEN TG_NARGS > 4 THEN strangler.joined_subject(old_row, TG_ARGV[4]::text[])
                        ELSE coalesce(rtrim(old_row ->> TG_ARGV[1]), '') END;
  END IF;
  IF TG_OP <> 'DELETE' THEN
    new_row := row_to_json(NEW);
    IF strpos(new_row::text, E'\\u0000') > 0 THEN
      new_row := regexp_replace(new_row::text, E'(?<!\\\\)((?:\\\\\\\\)*)\\\\u0000', E'\\1\\\\u0001', 'g')::json;
    END IF;
    new_subject := CASE WHEN TG_NARGS > 4 THEN strangler.joined_subject(new_row, TG_ARGV[4]::text[])
                        ELSE coalesce(rtrim(new_row ->> TG_ARGV[1]), '') END;
  END IF;
  IF TG_NARGS > 2 AND TG_ARGV[2] <> '' THEN
    old_row := (SELECT json_object_agg(key, value) FROM json_each(old_row)
                WHERE (key = ANY(TG_ARGV[3]::text[])) = (TG_ARGV[2] = 'columns'));
    new_row := (SELECT json_object_agg(key, value) FROM json_each(new_row)
                WHERE (key = ANY(TG_ARGV[3]::text[])) = (TG_ARGV[2] = 'columns'));
    IF TG_OP = 'UPDATE' AND old_row::text = new_row::text THEN
      RETURN NULL;
    END IF;
  END IF;
  -- A row that moves to another subject leaves the one and comes to the other: both must hear of it.
  IF TG_OP = 'UPDATE' AND old_subject <> new_subject THEN
    INSERT INTO strangler.strangler_change (transaction, table_name, op, subject, before, captured_at)
    VALUES (pg_current_xact_id()::text, TG_ARGV[0], 'delete', old_subject, old_row::text, clock_timestamp());
    INSERT INTO strangler.strangler_change (transaction, table_name, op, subject, after, captured_at)
    VALUES (pg_current_xact_id()::text, TG_ARGV[0], 'insert', new_subject, new_row::text, clock_timestamp());
    RETURN NULL;
  END IF;
  INSERT INTO strangler.strangler_change (transaction, table_name, op, subject, before, after, captured_at)
  VALUES (pg_current_xact_id()::text, TG_ARGV[0], lower(TG_OP), coalesce(new_subject, old_subject),
          old_row::text, new_row::text, clock_timestamp());
  RETURN NULL;
END
$function$
