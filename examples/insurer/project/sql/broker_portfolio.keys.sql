-- Brokers on file. Policies under a code that is not on file belong to nobody's portfolio.
SELECT TRIM(BRK_CD) AS broker_code FROM BRKMAST ORDER BY 1
