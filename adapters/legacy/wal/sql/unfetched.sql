-- How many row messages the slot holds between two places, counted to a limit. The slot may stand before what was
-- fetched: nobody advances it while another session has it. A transaction's C tells where it ends.
WITH held AS MATERIALIZED (
  SELECT lsn, xid::text AS xid, get_byte(data, 0) AS kind FROM pg_logical_slot_peek_binary_changes(
    :slot, '0/0'::pg_lsn + CAST(:place AS numeric), :limit, 'proto_version', '1', 'publication_names', :names)
), fetched AS (
  SELECT xid FROM held WHERE kind = 67 AND lsn <= '0/0'::pg_lsn + CAST(:after AS numeric)
), beyond AS (
  SELECT count(*) AS messages FROM held WHERE kind IN (68, 73, 85) AND xid NOT IN (SELECT xid FROM fetched)
)
-- Where the limit was met, there may be more behind it.
SELECT greatest(beyond.messages, CAST((SELECT count(*) FROM held) >= :limit AS int)) FROM beyond
