SELECT r.customer_id, r.rental_id, t.title, r.rented_at
FROM open_rental r
JOIN film_copy i ON i.inventory_id = r.inventory_id
JOIN title t ON t.film_id = i.film_id
WHERE r.customer_id = CAST(:customer_id AS INTEGER)
  AND NOT r.returned
ORDER BY r.rental_id
