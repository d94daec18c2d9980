-- Which of these ids are of events that were pruned.
SELECT p.id::text FROM strangler_pruned_id p WHERE p.id = ANY(CAST(:ids AS uuid[]))
