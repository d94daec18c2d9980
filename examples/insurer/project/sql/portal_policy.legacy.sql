-- portal-policy: what a customer sees of a policy in self-service.
-- Read class: operational. Key: policy_no. Other parameter: today, the business date (20260630 or 2026-06-30).
--
-- "Active" here means: the customer is covered today and has nothing to do. So it is the DATES that decide, not
-- STAT_CD: a policy issued for next week is not active, a cancellation booked for next month leaves it active until
-- that day, and the nightly batch that sets STAT_CD to C or L may not have run yet. A standing payment hold makes it
-- 'on_hold', renewed or not. Compliance holds are none of the customer's business and do not show.
--
-- Order matters: rescinded, cancelled, expired, issued, on hold, in force.
-- CAN_DT 0 and NULL both mean "no cancellation". Cover runs from EFF_DT up to, not including, CAN_DT or EXP_DT.
WITH clock AS (
  SELECT CAST(REPLACE(CAST(:today AS VARCHAR(10)), '-', '') AS INTEGER) AS today
)
SELECT
  TRIM(p.POL_NO) AS policy_no,
  CASE p.PROD_CD
    WHEN 'MOT1' THEN 'Motor Comfort'
    WHEN 'MOT2' THEN 'Motor Fleet'
    WHEN 'HOM1' THEN 'Home Contents'
    WHEN 'HOM2' THEN 'Home Building'
    WHEN 'LIA1' THEN 'Personal Liability'
    WHEN 'TRV1' THEN 'Travel Year'
    WHEN 'BIZ1' THEN 'Business Package'
    ELSE 'Product ' || p.PROD_CD
  END AS product,
  CASE
    WHEN p.STAT_CD = 'R' THEN 'rescinded'
    WHEN p.CAN_DT > 0 AND p.CAN_DT <= c.today THEN 'cancelled'
    WHEN p.EXP_DT <= c.today THEN 'expired'
    WHEN p.EFF_DT > c.today THEN 'issued'
    WHEN p.STAT_CD = 'H' THEN 'on_hold'
    ELSE 'in_force'
  END AS status,
  ROUND(p.PREM_CENTS / 100.0, 2) AS premium,
  SUBSTR(CAST(p.EFF_DT AS VARCHAR(8)), 1, 4) || '-' || SUBSTR(CAST(p.EFF_DT AS VARCHAR(8)), 5, 2)
    || '-' || SUBSTR(CAST(p.EFF_DT AS VARCHAR(8)), 7, 2) AS effective_on,
  SUBSTR(CAST(p.EXP_DT AS VARCHAR(8)), 1, 4) || '-' || SUBSTR(CAST(p.EXP_DT AS VARCHAR(8)), 5, 2)
    || '-' || SUBSTR(CAST(p.EXP_DT AS VARCHAR(8)), 7, 2) AS expires_on,
  CASE WHEN p.CAN_DT > c.today AND p.STAT_CD <> 'R' THEN
    SUBSTR(CAST(p.CAN_DT AS VARCHAR(8)), 1, 4) || '-' || SUBSTR(CAST(p.CAN_DT AS VARCHAR(8)), 5, 2)
      || '-' || SUBSTR(CAST(p.CAN_DT AS VARCHAR(8)), 7, 2)
  END AS cover_ends,
  k.CUST_NM AS customer_name,
  k.CITY_NM AS customer_city
FROM POLMAST p
CROSS JOIN clock c
LEFT JOIN CUSTMAST k ON k.CUST_NO = p.CUST_NO
WHERE p.POL_NO = CAST(:policy_no AS CHAR(12))
