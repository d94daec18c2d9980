SELECT customer_id FROM customer ORDER BY 1
