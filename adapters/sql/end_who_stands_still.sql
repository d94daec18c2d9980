-- End the session, if it is in the same transaction still, and waits for its client.
SELECT pg_terminate_backend(pid)
FROM pg_stat_activity
WHERE pid = :pid AND xact_start = :begun AND usename = current_user AND wait_event_type = 'Client'
