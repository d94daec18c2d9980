-- broker-portfolio from the projections, aggregated when it is asked for. `expires_day` counts days as the calendar
-- does (1 January of year 1 is day 1); the same count for the day asked for is worked out here, alike on every engine.
WITH clock AS (
  SELECT d.today, 365 * d.y + d.y / 4 - d.y / 100 + d.y / 400 + (153 * d.m + 2) / 5 + d.dom - 306 AS today_day
  FROM (
    SELECT
      t.yr - CASE WHEN t.mon < 3 THEN 1 ELSE 0 END AS y,
      t.mon + CASE WHEN t.mon < 3 THEN 9 ELSE -3 END AS m,
      t.dom,
      t.today
    FROM (
      SELECT CAST(:today AS VARCHAR(10)) AS today,
        CAST(SUBSTR(CAST(:today AS VARCHAR(10)), 1, 4) AS INTEGER) AS yr,
        CAST(SUBSTR(CAST(:today AS VARCHAR(10)), 6, 2) AS INTEGER) AS mon,
        CAST(SUBSTR(CAST(:today AS VARCHAR(10)), 9, 2) AS INTEGER) AS dom
    ) t
  ) d
), lines AS (
  SELECT
    p.broker_code,
    CASE SUBSTR(p.product, 1, 3)
      WHEN 'MOT' THEN 'motor'
      WHEN 'HOM' THEN 'home'
      WHEN 'LIA' THEN 'liability'
      WHEN 'TRV' THEN 'travel'
      WHEN 'BIZ' THEN 'commercial'
      ELSE 'other'
    END AS product_line,
    p.premium,
    CASE WHEN NOT p.rescinded AND CAST(p.effective_on AS VARCHAR(10)) <= c.today
      AND CAST(p.expires_on AS VARCHAR(10)) > c.today
      AND (p.cancels_on IS NULL OR CAST(p.cancels_on AS VARCHAR(10)) > c.today) THEN 1 ELSE 0 END AS in_force,
    CASE WHEN p.on_hold THEN 1 ELSE 0 END AS held,
    CASE WHEN p.cancels_on IS NULL AND p.expires_day - c.today_day <= 60 THEN 1 ELSE 0 END AS due
  FROM portfolio p
  JOIN broker b ON b.broker_code = p.broker_code
  CROSS JOIN clock c
  WHERE p.broker_code = :broker_code
)
SELECT
  broker_code,
  product_line,
  SUM(in_force) AS policies_in_force,
  ROUND(SUM(in_force * premium), 2) AS premium_in_force,
  SUM(in_force * held) AS policies_on_hold,
  SUM(in_force * due) AS renewals_due_60_days
FROM lines
GROUP BY broker_code, product_line
ORDER BY broker_code, product_line
