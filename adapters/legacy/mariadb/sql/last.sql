-- The last change of the table :name among the last thousand changes.
SELECT c.number, c.op, c.`after` AS `after`
FROM (SELECT n.number, n.table_name, n.op, n.`after` FROM strangler_change n ORDER BY n.number DESC LIMIT 1000) c
WHERE c.table_name = :name
ORDER BY c.number DESC
LIMIT 1
