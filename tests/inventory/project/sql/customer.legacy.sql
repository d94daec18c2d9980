SELECT a.id AS address_id, c.id AS customer_id, concat(c.first_name, ' ', c.last_name) AS name, c.email, a.city,
       lower(a.type) AS purpose
FROM customers c JOIN addresses a ON a.customer_id = c.id
WHERE c.id = :customer_id
