-- Which of these ids are archived. Arrays, not lists: one parameter each, and a plan that does not grow with them.
SELECT e.id
FROM strangler_event e
WHERE e.topic = :topic
  AND e.subject_hash = ANY(CAST(:hashes AS integer[]))
  AND e.id = ANY(CAST(:ids AS text[]))
