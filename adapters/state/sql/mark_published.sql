-- Write the offset that the log acknowledged, once: coordinates never change afterwards.
UPDATE strangler_event SET "offset" = :offset WHERE id = :id AND topic = :topic AND "offset" IS NULL
