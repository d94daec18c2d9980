-- agent-case from the projections: a state, and what explains it; what ends the contract soonest is told.
WITH chosen AS (
  SELECT a.*,
    CASE
      WHEN a.rescinded THEN 'rescinded'
      WHEN a.cancels_on <= :today THEN 'cancelled'
      WHEN a.expires_on <= :today THEN 'expired'
      WHEN a.effective_on > :today THEN 'issued_not_in_force'
      WHEN a.payment_hold_count > 0 THEN 'on_payment_hold'
      ELSE 'in_force'
    END AS state
  FROM agent_case a
  WHERE a.policy_no = :policy_no
)
SELECT
  a.policy_no,
  a.state,
  CASE
    WHEN a.state = 'rescinded' THEN 'void_from_start'
    WHEN a.state = 'cancelled' THEN
      CASE a.cancellation_reason
        WHEN 'customer_request' THEN 'cancelled_by_customer'
        WHEN 'non_payment' THEN 'cancelled_for_non_payment'
        WHEN 'object_sold' THEN 'insured_object_gone'
        WHEN 'underwriting' THEN 'cancelled_by_underwriter'
        ELSE 'reason_not_recorded'
      END
    WHEN a.state = 'expired' THEN 'not_renewed'
    WHEN a.cancels_on > :today THEN 'cancellation_scheduled'
    WHEN a.state = 'issued_not_in_force' THEN 'cover_starts_later'
    WHEN a.state = 'on_payment_hold' AND a.renewals > 0 THEN 'renewed_but_payment_open'
    WHEN a.state = 'on_payment_hold' THEN 'payment_open'
    ELSE 'nothing_to_explain'
  END AS explanation,
  CASE
    WHEN a.state = 'rescinded' THEN a.effective_on
    WHEN a.state = 'cancelled' THEN a.cancels_on
    WHEN a.state = 'expired' THEN a.expires_on
    WHEN a.cancels_on > :today THEN a.cancels_on
    WHEN a.state = 'issued_not_in_force' THEN a.effective_on
    WHEN a.state = 'on_payment_hold' THEN a.payment_hold_since
  END AS explanation_date,
  a.payment_hold_count AS open_payment_holds,
  a.compliance_hold_count AS open_compliance_holds,
  a.last_endorsement_reason,
  a.last_endorsement_on,
  a.renewals,
  (SELECT COUNT(*) FROM claim n
    WHERE n.policy_no = a.policy_no AND n.state IN ('notified', 'open')) AS open_claims,
  c.name AS customer_name,
  CASE
    WHEN c.customer_no IS NULL THEN 'unknown'
    WHEN c.email IS NULL THEN 'by_post'
    ELSE c.email
  END AS customer_contact
FROM chosen a
LEFT JOIN customer_contact c ON c.customer_no = a.customer_no
