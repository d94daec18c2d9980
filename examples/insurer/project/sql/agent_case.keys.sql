-- Every policy can be asked for by an agent, also a dead one.
SELECT TRIM(POL_NO) AS policy_no FROM POLMAST ORDER BY 1
