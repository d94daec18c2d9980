-- How many row messages the slot holds up to a place, counted to a limit.
SELECT count(*) FROM pg_logical_slot_peek_binary_changes(
  :slot, '0/0'::pg_lsn + CAST(:place AS numeric), :limit, 'proto_version', '1', 'publication_names', :names)
WHERE get_byte(data, 0) IN (68, 73, 85)
