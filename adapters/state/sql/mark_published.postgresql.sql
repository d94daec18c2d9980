-- Write the offsets that the log acknowledged, once: coordinates never change afterwards.
UPDATE strangler_event AS event
SET "offset" = acknowledged."offset"
FROM unnest(CAST(:ids AS text[]), CAST(:offsets AS bigint[])) AS acknowledged(id, "offset")
WHERE event.id = acknowledged.id AND event.topic = :topic AND event."offset" IS NULL
