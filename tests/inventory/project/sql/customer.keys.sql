SELECT id AS customer_id FROM customers
