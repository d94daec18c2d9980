-- Which of the :transactions have changes beyond the number :last?
SELECT t.transaction
FROM unnest(CAST(:transactions AS text[])) AS t(transaction)
WHERE EXISTS (SELECT 1 FROM strangler.strangler_change c
              WHERE c.transaction = t.transaction AND c.number > :last)
