-- The same as strangler.capture, once for all rows of a statement. Arguments and settings are the same, too.
-- The n-th old row and the n-th new row of an UPDATE are one row: both are kept when the row is updated, one after the
-- other. That holds for a change of the key as well, where no join by key could find them. The full join loses none,
-- and never becomes a loop over all pairs by a plan that was made when there was one row; no plan is worth compiling.
CREATE FUNCTION strangler.capture_statement() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET intervalstyle = 'iso_8601'
SET bytea_output = 'hex' SET extra_float_digits = 1 SET jit = off SET plan_cache_mode = force_generic_plan
AS $function$
DECLARE
  listed CONSTANT boolean := TG_NARGS > 2 AND TG_ARGV[2] <> '';
  several CONSTANT text[] := CASE WHEN TG_NARGS > 4 THEN TG_ARGV[4]::text[] END;
  only_these CONSTANT boolean := listed AND TG_ARGV[2] = 'columns';
  names CONSTANT text[] := CASE WHEN listed THEN TG_ARGV[3]::text[] END;
BEGIN
  IF TG_OP = 'INSERT' THEN
    INSERT INTO strangler.strangler_change (transaction, table_name, op, subject, after, captured_at)
    SELECT pg_current_xact_id()::text, TG_ARGV[0], 'insert', CASE WHEN several IS NULL THEN coalesce(rtrim(r.image ->> TG_ARGV[1]), '')
                ELSE strangler.joined_subject(r.image, several) END,
           CASE WHEN listed THEN (SELECT json_object_agg(key, value) FROM json_each(r.image)
                                  WHERE (key = ANY(names)) = only_these) ELSE r.image END, clock_timestamp()
    FROM (SELECT CASE WHEN strpos(image::text, E'\\u0000') = 0 THEN image
                 ELSE regexp_replace(image::text, E'(?<!\\\\)((?:\\\\\\\\)*)\\\\u0000', E'\\1\\\\u0001', 'g')::json
                 END AS image
          FROM (SELECT row_to_json(t) AS image FROM new_rows t OFFSET 0) i OFFSET 0) r;
  ELSIF TG_OP = 'DELETE' THEN
    INSERT INTO strangler.strangler_change (transaction, table_name, op, subject, before, captured_at)
    SELECT pg_current_xact_id()::text, TG_ARGV[0], 'delete', CASE WHEN several IS NULL THEN coalesce(rtrim(r.image ->> TG_ARGV[1]), '')
                ELSE strangler.joined_subject(r.image, several) END,
           CASE WHEN listed THEN (SELECT json_object_agg(key, value) FROM json_each(r.image)
                                  WHERE (key = ANY(names)) = only_these) ELSE r.image END, clock_timestamp()
    FROM (SELECT CASE WHEN strpos(image::text, E'\\u0000') = 0 THEN image
                 ELSE regexp_replace(image::text, E'(?<!\\\\)((?:\\\\\\\\)*)\\\\u0000', E'\\1\\\\u0001', 'g')::json
                 END AS image
          FROM (SELECT row_to_json(t) AS image FROM old_rows t OFFSET 0) i OFFSET 0) r;
  ELSE
    INSERT INTO strangler.strangler_change (transaction, table_name, op, subject, before, after, captured_at)
    SELECT pg_current_xact_id()::text, TG_ARGV[0], c.op, c.subject, c.before, c.after, clock_timestamp()
    FROM (
      SELECT n,
             CASE WHEN several IS NULL THEN coalesce(rtrim(o.image ->> TG_ARGV[1]), '')
                ELSE strangler.joined_subject(o.image, several) END AS old_subject,
             CASE WHEN several IS NULL THEN coalesce(rtrim(w.image ->> TG_ARGV[1]), '')
                ELSE strangler.joined_subject(w.image, several) END AS new_subject,
             CASE WHEN listed THEN (SELECT json_object_agg(key, value) FROM json_each(o.image)
                                    WHERE (key = ANY(names)) = only_these) ELSE o.image END AS before,
             CASE WHEN listed THEN (SELECT json_object_agg(key, value) FROM json_each(w.image)
                                    WHERE (key = ANY(names)) = only_these) ELSE w.image END AS after
      FROM (SELECT n, CASE WHEN strpos(image::text, E'\\u0000') = 0 THEN image
                 ELSE regexp_replace(image::text, E'(?<!\\\\)((?:\\\\\\\\)*)\\\\u0000', E'\\1\\\\u0001', 'g')::json
                 END AS image
            FROM (SELECT row_number() OVER () AS n, row_to_json(t) AS image FROM old_rows t) i) o
      FULL JOIN (SELECT n, CASE WHEN strpos(image::text, E'\\u0000') = 0 THEN image
                 ELSE regexp_replace(image::text, E'(?<!\\\\)((?:\\\\\\\\)*)\\\\u0000', E'\\1\\\\u0001', 'g')::json
                 END AS image
            FROM (SELECT row_number() OVER () AS n, row_to_json(t) AS image FROM new_rows t) i) w USING (n)
      OFFSET 0
    ) r
    -- A row that moves to another subject leaves the one and comes to the other: both must hear of it.
    CROSS JOIN LATERAL (
      SELECT 'update' AS op, r.new_subject AS subject, r.before, r.after
      WHERE r.old_subject = r.new_subject AND NOT (listed AND r.before::text = r.after::text)
      UNION ALL
      SELECT 'delete', r.old_subject, r.before, NULL WHERE r.old_subject <> r.new_subject
      UNION ALL
      SELECT 'insert', r.new_subject, NULL, r.after WHERE r.old_subject <> r.new_subject
    ) c
    ORDER BY r.n, c.op;
  END IF;
  RETURN NULL;
END
$function$
