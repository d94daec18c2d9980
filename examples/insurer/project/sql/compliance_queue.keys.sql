-- Every policy that ever had a compliance hold: "nothing stands any more" is an answer worth comparing.
SELECT DISTINCT TRIM(POL_NO) AS policy_no FROM POLHOLD WHERE HLD_TYP = 'C' ORDER BY 1
