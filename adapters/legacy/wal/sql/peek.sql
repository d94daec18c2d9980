-- What the slot holds from where it stands, whole transactions in commit order, at least so many messages if there are.
SELECT data FROM pg_logical_slot_peek_binary_changes(
  %(slot)s, NULL, %(limit)s, 'proto_version', '1', 'publication_names', %(names)s)
