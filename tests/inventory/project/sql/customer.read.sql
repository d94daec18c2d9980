SELECT a.address_id, c.customer_id, c.name, c.email, a.city, a.purpose
FROM customer_entry c JOIN address_entry a ON a.customer_id = c.customer_id
WHERE c.customer_id = :customer_id
