-- Partitions of a topic with an event that has no coordinates yet, one probe of the partial index each.
WITH RECURSIVE found(number) AS (
    SELECT (SELECT min("partition") FROM strangler_event WHERE topic = :topic AND "offset" IS NULL)
    UNION ALL
    SELECT (
        SELECT min("partition") FROM strangler_event
        WHERE topic = :topic AND "offset" IS NULL AND "partition" > found.number
    )
    FROM found
    WHERE found.number IS NOT NULL
)
SELECT found.number AS "partition" FROM found WHERE found.number IS NOT NULL
