-- portal-policy from the projections. Same order of questions as the legacy read; the dates decide, at the day asked for.
SELECT
  p.policy_no,
  CASE p.product
    WHEN 'MOT1' THEN 'Motor Comfort'
    WHEN 'MOT2' THEN 'Motor Fleet'
    WHEN 'HOM1' THEN 'Home Contents'
    WHEN 'HOM2' THEN 'Home Building'
    WHEN 'LIA1' THEN 'Personal Liability'
    WHEN 'TRV1' THEN 'Travel Year'
    WHEN 'BIZ1' THEN 'Business Package'
    ELSE 'Product ' || p.product
  END AS product,
  CASE
    WHEN p.rescinded THEN 'rescinded'
    WHEN p.cancels_on <= :today THEN 'cancelled'
    WHEN p.expires_on <= :today THEN 'expired'
    WHEN p.effective_on > :today THEN 'issued'
    WHEN p.on_hold THEN 'on_hold'
    WHEN p.ended THEN 'cancelled'
    ELSE 'in_force'
  END AS status,
  p.premium,
  p.effective_on,
  p.expires_on,
  CASE WHEN p.cancels_on > :today AND NOT p.rescinded THEN p.cancels_on END AS cover_ends,
  c.name AS customer_name,
  c.city AS customer_city
FROM customer_policy p
LEFT JOIN customer_contact c ON c.customer_no = p.customer_no
WHERE p.policy_no = :policy_no
