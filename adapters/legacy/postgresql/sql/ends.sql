-- The last number of each subject that the transaction :transaction did several things to.
SELECT c.subject, max(c.number)
FROM strangler.strangler_change c
WHERE c.transaction = :transaction /* established */
GROUP BY c.subject
HAVING count(*) > 1
