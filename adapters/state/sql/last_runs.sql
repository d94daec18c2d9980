-- Where the last run of each partition of a topic begins, and how far it goes; one index probe each.
SELECT c."partition", c.sequence, c."offset", c.events
FROM strangler_sequence s
JOIN strangler_coordinates c
  ON c.topic = s.topic AND c."partition" = s."partition"
 AND c.sequence = (
     SELECT max(l.sequence) FROM strangler_coordinates l WHERE l.topic = s.topic AND l."partition" = s."partition"
 )
WHERE s.topic = :topic
