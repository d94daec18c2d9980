-- claim-cover: whether a claim may be paid today.
-- Read class: authoritative. Key: claim_no. Other parameter: today, the business date.
--
-- "Active" here means: cover ran on the day of the LOSS, not today. A policy cancelled since still pays for what
-- happened before; one that is in force today does not pay for what happened before it began. Rescission takes cover
-- away for the past as well. Then, and only then, today's obstacles: a standing hold of either kind, and premium that
-- was not paid up to the loss, do not refuse the claim, they stop the payment until somebody has looked.
--
-- Money leaves the house on this answer. It is read where it is decided, and the first reason that applies is given.
WITH clock AS (
  SELECT CAST(REPLACE(CAST(:today AS VARCHAR(10)), '-', '') AS INTEGER) AS today
), facts AS (
  SELECT
    n.CLM_NO, n.POL_NO, n.LOSS_DT, n.AMT_CENTS, n.STAT_CD AS clm_stat,
    p.POL_NO AS known_pol, p.STAT_CD AS pol_stat, p.EFF_DT, p.EXP_DT, p.CAN_DT,
    b.POL_NO AS billed_pol, b.PAID_TO_DT, c.today,
    (SELECT COUNT(*) FROM POLHOLD h
      WHERE h.POL_NO = n.POL_NO AND h.HLD_TYP = 'C' AND h.REL_DT IS NULL) AS compliance_holds,
    (SELECT COUNT(*) FROM POLHOLD h
      WHERE h.POL_NO = n.POL_NO AND h.HLD_TYP = 'P' AND h.REL_DT IS NULL) AS payment_holds
  FROM CLMNTF n
  CROSS JOIN clock c
  LEFT JOIN POLMAST p ON p.POL_NO = n.POL_NO
  LEFT JOIN BILLNK b ON b.POL_NO = n.POL_NO
  WHERE n.CLM_NO = CAST(:claim_no AS CHAR(14))
), judged AS (
  SELECT f.*,
    CASE
      WHEN f.known_pol IS NULL THEN 'policy_unknown'
      WHEN f.clm_stat = 'S' THEN 'claim_already_settled'
      WHEN f.clm_stat = 'D' THEN 'claim_declined'
      WHEN f.pol_stat = 'R' THEN 'policy_rescinded'
      WHEN f.LOSS_DT > f.today THEN 'loss_in_the_future'
      WHEN f.LOSS_DT < f.EFF_DT THEN 'loss_before_cover'
      WHEN f.CAN_DT > 0 AND f.LOSS_DT >= f.CAN_DT THEN 'loss_after_cancellation'
      WHEN f.LOSS_DT >= f.EXP_DT THEN 'loss_after_expiry'
      WHEN f.compliance_holds > 0 THEN 'compliance_hold_standing'
      WHEN f.payment_holds > 0 THEN 'payment_hold_standing'
      WHEN f.billed_pol IS NULL THEN 'billing_link_missing'
      WHEN f.PAID_TO_DT IS NULL OR f.PAID_TO_DT <= f.LOSS_DT THEN 'premium_unpaid_at_loss'
      ELSE 'cover_confirmed'
    END AS reason
  FROM facts f
)
SELECT
  TRIM(CLM_NO) AS claim_no,
  TRIM(POL_NO) AS policy_no,
  CASE
    WHEN reason = 'cover_confirmed' THEN 'pay'
    WHEN reason IN ('compliance_hold_standing', 'payment_hold_standing', 'billing_link_missing',
      'premium_unpaid_at_loss') THEN 'refer'
    ELSE 'refuse'
  END AS decision,
  reason,
  SUBSTR(CAST(LOSS_DT AS VARCHAR(8)), 1, 4) || '-' || SUBSTR(CAST(LOSS_DT AS VARCHAR(8)), 5, 2)
    || '-' || SUBSTR(CAST(LOSS_DT AS VARCHAR(8)), 7, 2) AS loss_on,
  CASE WHEN PAID_TO_DT > 0 THEN
    SUBSTR(CAST(PAID_TO_DT AS VARCHAR(8)), 1, 4) || '-' || SUBSTR(CAST(PAID_TO_DT AS VARCHAR(8)), 5, 2)
      || '-' || SUBSTR(CAST(PAID_TO_DT AS VARCHAR(8)), 7, 2)
  END AS paid_to,
  ROUND(AMT_CENTS / 100.0, 2) AS amount
FROM judged
