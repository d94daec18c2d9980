-- Note which topic a source's events are for, unless that is noted.
INSERT INTO strangler_topic (topic, source)
VALUES (:topic, :source)
ON CONFLICT (topic) DO NOTHING
