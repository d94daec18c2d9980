-- Take a lease that nobody holds, in one statement: of two contenders one gets a row back, with a new epoch.
INSERT INTO strangler_lease (name, epoch, owner, expires_at)
VALUES (:name, 1, :owner, :expires_at)
ON CONFLICT (name) DO UPDATE
SET epoch = strangler_lease.epoch + 1, owner = excluded.owner, expires_at = excluded.expires_at
WHERE strangler_lease.expires_at <= :now
RETURNING epoch
