-- Make sure that a lease is there to be locked; nobody holds it by that.
INSERT INTO strangler_lease (name, epoch, owner, expires_at)
VALUES (:name, 0, '', :now)
ON CONFLICT (name) DO NOTHING
