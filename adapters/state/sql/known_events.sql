-- Which of these ids are archived. Arrays, not lists: one parameter each, and a plan that does not grow with them.
-- Each hash is looked for alone, by its index, and the topic only seen to afterwards: as long as PostgreSQL has no
-- statistics of an archive that was just filled, it takes a topic for something rare, and would read all of it.
SELECT e.id
FROM unnest(CAST(:hashes AS integer[])) AS h (hash)
CROSS JOIN LATERAL (
  SELECT o.id FROM strangler_event o
  WHERE o.subject_hash = h.hash AND (o.topic = :topic) IS TRUE
  OFFSET 0
) AS e
WHERE e.id = ANY(CAST(:ids AS text[]))
