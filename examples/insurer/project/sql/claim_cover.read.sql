-- claim-cover from the projections. It exists to be compared: money leaves the house on the legacy answer.
WITH judged AS (
  SELECT n.*, c.paid_to,
    CASE
      WHEN c.policy_no IS NULL THEN 'policy_unknown'
      WHEN n.state = 'settled' THEN 'claim_already_settled'
      WHEN n.state = 'declined' THEN 'claim_declined'
      WHEN c.rescinded THEN 'policy_rescinded'
      WHEN n.loss_on > :today THEN 'loss_in_the_future'
      WHEN n.loss_on < c.effective_on THEN 'loss_before_cover'
      WHEN n.loss_on >= c.cancels_on THEN 'loss_after_cancellation'
      WHEN n.loss_on >= c.expires_on THEN 'loss_after_expiry'
      WHEN c.compliance_holds > 0 THEN 'compliance_hold_standing'
      WHEN c.payment_holds > 0 THEN 'payment_hold_standing'
      WHEN NOT c.billed THEN 'billing_link_missing'
      WHEN c.paid_to IS NULL OR c.paid_to <= n.loss_on THEN 'premium_unpaid_at_loss'
      ELSE 'cover_confirmed'
    END AS reason
  FROM claim n
  LEFT JOIN claim_cover c ON c.policy_no = n.policy_no
  WHERE n.claim_no = :claim_no
)
SELECT
  claim_no,
  policy_no,
  CASE
    WHEN reason = 'cover_confirmed' THEN 'pay'
    WHEN reason IN ('compliance_hold_standing', 'payment_hold_standing', 'billing_link_missing',
      'premium_unpaid_at_loss') THEN 'refer'
    ELSE 'refuse'
  END AS decision,
  reason,
  loss_on,
  paid_to,
  amount
FROM judged
