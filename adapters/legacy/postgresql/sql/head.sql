-- The first changes that wait; what has to be left out, and how many, is added behind.
SELECT c.number, c.transaction, c.table_name, c.op, c.subject, c.before, c.after, c.captured_at
FROM strangler.strangler_change c
