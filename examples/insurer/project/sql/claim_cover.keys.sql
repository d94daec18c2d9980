-- Every claim that was ever notified, also those whose policy nobody can find.
SELECT TRIM(CLM_NO) AS claim_no FROM CLMNTF ORDER BY 1
