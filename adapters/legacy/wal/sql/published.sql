-- The tables that a publication of ours gives, and whether it gives them whole.
SELECT p.pubname, CAST(r.prrelid AS bigint) AS oid,
       p.pubinsert AND (p.pubname = :outbox OR (p.pubupdate AND p.pubdelete AND p.pubtruncate)) AS all_operations,
       p.pubviaroot AS via_root,
       to_jsonb(r) ->> 'prqual' IS NULL AND to_jsonb(r) ->> 'prattrs' IS NULL AS whole
FROM pg_publication p JOIN pg_publication_rel r ON r.prpubid = p.oid
WHERE p.pubname IN (:publication, :outbox)
