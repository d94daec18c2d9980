-- broker-portfolio: a broker's book, one row for each product line.
-- Read class: informational. Key: broker_code. Other parameter: today, the business date.
--
-- "Active" here means: cover runs today, so commission is earned. Hold or no hold: a policy on payment hold is in force
-- for the broker, and shown once more under on_hold, as he is the one to call the customer. A policy that starts
-- next week earns nothing yet, one whose cancellation lies ahead still does. An unprocessed STAT_CD does not matter.
--
-- A renewal is due when a policy in force expires within 60 days and no cancellation comes first. Days between two
-- yyyymmdd integers: both are turned into a day number (March is month 0, so that 29 February is the last day of its
-- year); the same arithmetic on every engine we ever ran on.
WITH clock AS (
  SELECT d.today,
    365 * d.y + d.y / 4 - d.y / 100 + d.y / 400 + (153 * d.m + 2) / 5 + d.today - d.today / 100 * 100 AS today_nbr
  FROM (
    SELECT t.today,
      t.today / 10000 - CASE WHEN t.today / 100 - t.today / 10000 * 100 < 3 THEN 1 ELSE 0 END AS y,
      t.today / 100 - t.today / 10000 * 100
        + CASE WHEN t.today / 100 - t.today / 10000 * 100 < 3 THEN 9 ELSE -3 END AS m
    FROM (SELECT CAST(REPLACE(CAST(:today AS VARCHAR(10)), '-', '') AS INTEGER) AS today) t
  ) d
), book AS (
  SELECT p.*,
    p.EXP_DT / 10000 - CASE WHEN p.EXP_DT / 100 - p.EXP_DT / 10000 * 100 < 3 THEN 1 ELSE 0 END AS y,
    p.EXP_DT / 100 - p.EXP_DT / 10000 * 100
      + CASE WHEN p.EXP_DT / 100 - p.EXP_DT / 10000 * 100 < 3 THEN 9 ELSE -3 END AS m
  FROM POLMAST p
  JOIN BRKMAST b ON b.BRK_CD = p.BRK_CD
  WHERE p.BRK_CD = CAST(:broker_code AS CHAR(8))
), lines AS (
  SELECT
    TRIM(p.BRK_CD) AS broker_code,
    CASE SUBSTR(p.PROD_CD, 1, 3)
      WHEN 'MOT' THEN 'motor'
      WHEN 'HOM' THEN 'home'
      WHEN 'LIA' THEN 'liability'
      WHEN 'TRV' THEN 'travel'
      WHEN 'BIZ' THEN 'commercial'
      ELSE 'other'
    END AS product_line,
    p.PREM_CENTS AS PREM_CENTS,
    CASE WHEN p.STAT_CD <> 'R' AND p.EFF_DT <= c.today AND p.EXP_DT > c.today
      AND (p.CAN_DT IS NULL OR p.CAN_DT = 0 OR p.CAN_DT > c.today) THEN 1 ELSE 0 END AS in_force,
    CASE WHEN p.STAT_CD = 'H' THEN 1 ELSE 0 END AS held,
    CASE WHEN (p.CAN_DT IS NULL OR p.CAN_DT = 0)
      AND 365 * p.y + p.y / 4 - p.y / 100 + p.y / 400 + (153 * p.m + 2) / 5
        + p.EXP_DT - p.EXP_DT / 100 * 100 - c.today_nbr <= 60 THEN 1 ELSE 0 END AS due
  FROM book p
  CROSS JOIN clock c
)
SELECT
  broker_code,
  product_line,
  SUM(in_force) AS policies_in_force,
  ROUND(SUM(in_force * PREM_CENTS) / 100.0, 2) AS premium_in_force,
  SUM(in_force * held) AS policies_on_hold,
  SUM(in_force * due) AS renewals_due_60_days
FROM lines
GROUP BY broker_code, product_line
ORDER BY broker_code, product_line
