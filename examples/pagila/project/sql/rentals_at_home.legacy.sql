-- What a customer has at home: the statement behind the counter's screen.
SELECT r.customer_id, r.rental_id, f.title, r.rental_date AS rented_at
FROM rental r
JOIN inventory i ON i.inventory_id = r.inventory_id
JOIN film f ON f.film_id = i.film_id
WHERE r.customer_id = CAST(:customer_id AS INTEGER)
  AND r.return_date IS NULL
ORDER BY r.rental_id
