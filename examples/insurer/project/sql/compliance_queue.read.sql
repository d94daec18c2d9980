-- compliance-queue from the projections: standing holds only, under the regulator's names.
SELECT
  h.policy_no,
  h.hold_no,
  h.review AS review_state,
  h.placed_on,
  h.reason AS regulatory_reason,
  CASE WHEN h.reason IN ('aml_suspicion', 'sanctions_match') THEN 1 ELSE 0 END AS payout_prohibited,
  CASE WHEN h.reason IN ('sanctions_match', 'customer_due_diligence_incomplete') THEN 1 ELSE 0 END
    AS contract_change_prohibited,
  CASE WHEN h.reason = 'aml_suspicion' THEN 1 ELSE 0 END AS disclosure_to_customer_prohibited,
  CASE WHEN NOT c.rescinded AND c.effective_on <= :today AND c.expires_on > :today
    AND (c.cancels_on IS NULL OR c.cancels_on > :today) THEN 1 ELSE 0 END AS cover_running
FROM compliance_hold h
JOIN claim_cover c ON c.policy_no = h.policy_no
WHERE h.policy_no = :policy_no
  AND h.standing
ORDER BY h.hold_no
