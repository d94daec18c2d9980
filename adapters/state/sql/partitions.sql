-- Partitions of a topic that have an event, found with one index probe each however large the archive is.
WITH RECURSIVE found(number) AS (
    SELECT (SELECT min("partition") FROM strangler_event WHERE topic = :topic)
    UNION ALL
    SELECT (SELECT min("partition") FROM strangler_event WHERE topic = :topic AND "partition" > found.number)
    FROM found
    WHERE found.number IS NOT NULL
)
SELECT
    found.number AS "partition",
    (SELECT max(sequence) FROM strangler_event WHERE topic = :topic AND "partition" = found.number) AS last
FROM found
WHERE found.number IS NOT NULL
