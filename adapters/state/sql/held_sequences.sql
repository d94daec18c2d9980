-- First and last sequence of each partition of a topic within one time partition: two index probes each.
SELECT s.topic, s."partition", b.first, b.last
FROM strangler_sequence s
CROSS JOIN LATERAL (
    SELECT
        (SELECT min(e.sequence) FROM strangler_event_leaf e WHERE e.topic = s.topic AND e."partition" = s."partition") AS first,
        (SELECT max(e.sequence) FROM strangler_event_leaf e WHERE e.topic = s.topic AND e."partition" = s."partition") AS last
) b
WHERE b.first IS NOT NULL
