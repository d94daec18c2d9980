-- compliance-queue: the standing compliance holds of a policy, for the reviewers' work queue.
-- Read class: decision support, tight freshness. Key: policy_no; one row for each standing hold, none if there is none.
-- Other parameter: today, the business date.
--
-- "Active" does not exist here, on purpose: whether cover runs does not settle whether a review is owed. A hold counts
-- on a cancelled or rescinded policy as well (a refund may not leave the house). The flags carry the regulator's names
-- and say what is restricted; they must not be derived from, or shown as, the portal's status.
-- Payment holds never appear. `cover_running` is for the order of work alone.
WITH clock AS (
  SELECT CAST(REPLACE(CAST(:today AS VARCHAR(10)), '-', '') AS INTEGER) AS today
)
SELECT
  TRIM(h.POL_NO) AS policy_no,
  h.HLD_SEQ AS hold_no,
  CASE h.RVW_ST
    WHEN 'O' THEN 'opened'
    WHEN 'U' THEN 'under_review'
    WHEN 'E' THEN 'escalated'
    WHEN 'K' THEN 'cleared'
    ELSE 'unassigned'
  END AS review_state,
  SUBSTR(CAST(h.PLC_DT AS VARCHAR(8)), 1, 4) || '-' || SUBSTR(CAST(h.PLC_DT AS VARCHAR(8)), 5, 2)
    || '-' || SUBSTR(CAST(h.PLC_DT AS VARCHAR(8)), 7, 2) AS placed_on,
  CASE h.RSN_CD
    WHEN 'AM' THEN 'aml_suspicion'
    WHEN 'SN' THEN 'sanctions_match'
    WHEN 'KY' THEN 'customer_due_diligence_incomplete'
    WHEN 'DP' THEN 'data_protection_objection'
    ELSE 'unclassified'
  END AS regulatory_reason,
  CASE WHEN h.RSN_CD IN ('AM', 'SN') THEN 1 ELSE 0 END AS payout_prohibited,
  CASE WHEN h.RSN_CD IN ('SN', 'KY') THEN 1 ELSE 0 END AS contract_change_prohibited,
  CASE WHEN h.RSN_CD = 'AM' THEN 1 ELSE 0 END AS disclosure_to_customer_prohibited,
  CASE WHEN p.STAT_CD <> 'R' AND p.EFF_DT <= c.today AND p.EXP_DT > c.today
    AND (p.CAN_DT IS NULL OR p.CAN_DT = 0 OR p.CAN_DT > c.today) THEN 1 ELSE 0 END AS cover_running
FROM POLHOLD h
JOIN POLMAST p ON p.POL_NO = h.POL_NO
CROSS JOIN clock c
WHERE h.POL_NO = CAST(:policy_no AS CHAR(12))
  AND h.HLD_TYP = 'C'
  AND h.REL_DT IS NULL
ORDER BY h.HLD_SEQ
