-- The marked changes :numbers go; what came of them is in the archive.
DELETE FROM strangler.strangler_change WHERE number = ANY(CAST(:numbers AS bigint[]))
