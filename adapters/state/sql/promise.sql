-- How far a source has promised; in one statement, for leaders of several shards come to it at the same time.
INSERT INTO strangler_topic (topic, source, watermark)
VALUES (:topic, :source, :watermark)
ON CONFLICT (topic) DO UPDATE SET watermark = excluded.watermark
