-- The marked changes with the numbers from :first to :last go, each of which is one of them.
DELETE FROM strangler.strangler_change WHERE number BETWEEN :first AND :last
