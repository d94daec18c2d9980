-- The triggers of ours in the database :schema.
SELECT g.TRIGGER_NAME AS name, g.EVENT_OBJECT_TABLE AS table_name, g.ACTION_STATEMENT AS body, g.DEFINER AS definer
FROM information_schema.TRIGGERS g
WHERE g.TRIGGER_SCHEMA = :schema AND g.TRIGGER_NAME LIKE 'strangler!_%' ESCAPE '!'
ORDER BY g.TRIGGER_NAME
