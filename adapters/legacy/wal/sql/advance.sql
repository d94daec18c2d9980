-- Everything up to this place is safe in the inbox: the server may forget it. Never backwards.
SELECT pg_replication_slot_advance(slot_name, '0/0'::pg_lsn + CAST(:lsn AS numeric))
FROM pg_replication_slots
WHERE slot_name = :slot AND confirmed_flush_lsn < '0/0'::pg_lsn + CAST(:lsn AS numeric)
