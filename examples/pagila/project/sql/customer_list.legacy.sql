-- The shipped view, as every report reads it. Its `notes` come from activebool.
SELECT id AS customer_id, name, address, "zip code" AS zip_code, phone, city, country, notes, sid AS store_id
FROM customer_list
WHERE id = CAST(:customer_id AS INTEGER)
