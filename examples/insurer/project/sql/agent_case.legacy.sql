-- agent-case: what a customer service agent sees, with the reason why.
-- Read class: operational. Key: policy_no. Other parameter: today, the business date.
--
-- "Active" here means: the contract is alive, so there is something to talk about. A policy on payment hold, or issued
-- for next week, is alive for an agent although the portal does not call it active. A state alone helps nobody on the
-- phone, therefore `explanation` says what is behind it, with the date that belongs to it: "in force, cancellation
-- scheduled for 15 July". Where several things are true, the one that ends the contract soonest is told.
--
-- Endorsements entered before 2023 have no RSN_CD: 'not_recorded' is an answer, not a fault.
WITH clock AS (
  SELECT CAST(REPLACE(CAST(:today AS VARCHAR(10)), '-', '') AS INTEGER) AS today
), chosen AS (
  SELECT p.*,
    CASE
      WHEN p.STAT_CD = 'R' THEN 'rescinded'
      WHEN p.CAN_DT > 0 AND p.CAN_DT <= c.today THEN 'cancelled'
      WHEN p.EXP_DT <= c.today THEN 'expired'
      WHEN p.EFF_DT > c.today THEN 'issued_not_in_force'
      WHEN p.STAT_CD = 'H' THEN 'on_payment_hold'
      ELSE 'in_force'
    END AS state,
    CASE
      WHEN p.STAT_CD = 'R' THEN 'void_from_start'
      WHEN p.CAN_DT > 0 AND p.CAN_DT <= c.today THEN
        CASE p.CAN_RSN
          WHEN 'CR' THEN 'cancelled_by_customer'
          WHEN 'NP' THEN 'cancelled_for_non_payment'
          WHEN 'SO' THEN 'insured_object_gone'
          WHEN 'UW' THEN 'cancelled_by_underwriter'
          ELSE 'reason_not_recorded'
        END
      WHEN p.EXP_DT <= c.today THEN 'not_renewed'
      WHEN p.CAN_DT > c.today THEN 'cancellation_scheduled'
      WHEN p.EFF_DT > c.today THEN 'cover_starts_later'
      WHEN p.STAT_CD = 'H' AND p.RNW_CNT > 0 THEN 'renewed_but_payment_open'
      WHEN p.STAT_CD = 'H' THEN 'payment_open'
      ELSE 'nothing_to_explain'
    END AS explanation,
    CASE
      WHEN p.STAT_CD = 'R' THEN p.EFF_DT
      WHEN p.CAN_DT > 0 AND p.CAN_DT <= c.today THEN p.CAN_DT
      WHEN p.EXP_DT <= c.today THEN p.EXP_DT
      WHEN p.CAN_DT > c.today THEN p.CAN_DT
      WHEN p.EFF_DT > c.today THEN p.EFF_DT
      WHEN p.STAT_CD = 'H' THEN (
        SELECT MIN(h.PLC_DT) FROM POLHOLD h
        WHERE h.POL_NO = p.POL_NO AND h.HLD_TYP = 'P' AND h.REL_DT IS NULL)
    END AS expl_dt
  FROM POLMAST p
  CROSS JOIN clock c
  WHERE p.POL_NO = CAST(:policy_no AS CHAR(12))
)
SELECT
  TRIM(p.POL_NO) AS policy_no,
  p.state AS state,
  p.explanation AS explanation,
  SUBSTR(CAST(p.expl_dt AS VARCHAR(8)), 1, 4) || '-' || SUBSTR(CAST(p.expl_dt AS VARCHAR(8)), 5, 2)
    || '-' || SUBSTR(CAST(p.expl_dt AS VARCHAR(8)), 7, 2) AS explanation_date,
  (SELECT COUNT(*) FROM POLHOLD h
    WHERE h.POL_NO = p.POL_NO AND h.HLD_TYP = 'P' AND h.REL_DT IS NULL) AS open_payment_holds,
  (SELECT COUNT(*) FROM POLHOLD h
    WHERE h.POL_NO = p.POL_NO AND h.HLD_TYP = 'C' AND h.REL_DT IS NULL) AS open_compliance_holds,
  CASE
    WHEN e.POL_NO IS NULL THEN NULL
    WHEN e.RSN_CD = 'CR' THEN 'customer_request'
    WHEN e.RSN_CD = 'BR' THEN 'broker_request'
    WHEN e.RSN_CD = 'UW' THEN 'underwriting'
    WHEN e.RSN_CD = 'RG' THEN 'regulation'
    WHEN e.RSN_CD = 'CO' THEN 'correction'
    WHEN e.RSN_CD IS NULL THEN 'not_recorded'
    ELSE 'unknown'
  END AS last_endorsement_reason,
  SUBSTR(CAST(e.EFF_DT AS VARCHAR(8)), 1, 4) || '-' || SUBSTR(CAST(e.EFF_DT AS VARCHAR(8)), 5, 2)
    || '-' || SUBSTR(CAST(e.EFF_DT AS VARCHAR(8)), 7, 2) AS last_endorsement_on,
  p.RNW_CNT AS renewals,
  (SELECT COUNT(*) FROM CLMNTF n
    WHERE n.POL_NO = p.POL_NO AND n.STAT_CD IN ('N', 'O')) AS open_claims,
  k.CUST_NM AS customer_name,
  CASE
    WHEN k.CUST_NO IS NULL THEN 'unknown'
    WHEN k.EMAIL_TX IS NULL THEN 'by_post'
    ELSE k.EMAIL_TX
  END AS customer_contact
FROM chosen p
LEFT JOIN CUSTMAST k ON k.CUST_NO = p.CUST_NO
LEFT JOIN POLEND e ON e.POL_NO = p.POL_NO
  AND e.END_SEQ = (SELECT MAX(x.END_SEQ) FROM POLEND x WHERE x.POL_NO = p.POL_NO)
