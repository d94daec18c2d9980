-- The customer list from the projections: 'active' where the customer may rent.
SELECT
  c.customer_id,
  c.name,
  a.address,
  a.postal_code AS zip_code,
  a.phone,
  t.city,
  n.country,
  CASE WHEN c.may_rent THEN 'active' ELSE '' END AS notes,
  c.store_id
FROM customer_entry c
JOIN address_entry a ON a.address_id = c.address_id
JOIN city_entry t ON t.city_id = a.city_id
JOIN country_entry n ON n.country_id = t.country_id
WHERE c.customer_id = CAST(:customer_id AS INTEGER)
