-- The subject of a row that several columns hold: their values joined by slashes, so that no two subjects have one text.
CREATE FUNCTION strangler.joined_subject(image json, names text[]) RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $function$
  SELECT coalesce(nullif(string_agg(replace(replace(coalesce(rtrim(image ->> c.name), ''), '%', '%25'), '/', '%2F'),
                                    '/' ORDER BY c.place),
                         repeat('/', cardinality(names) - 1)), '')
  FROM unnest(names) WITH ORDINALITY AS c(name, place)
$function$
