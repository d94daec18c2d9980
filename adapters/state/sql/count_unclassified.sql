-- Count changes of one shape that gave nothing; the last one stands for all.
INSERT INTO strangler_unclassified
  (source, table_name, op, columns, times, subject, "position", first_at, last_at, owner, reason)
VALUES (:source, :table_name, :op, :columns, :times, :subject, :position, :first_at, :last_at, '', '')
ON CONFLICT (source, table_name, op, columns) DO UPDATE
SET times = strangler_unclassified.times + excluded.times, subject = excluded.subject,
    "position" = excluded."position", last_at = excluded.last_at
