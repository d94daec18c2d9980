-- What else capture depends on in the table :oid.
SELECT c.relkind AS kind, c.relpersistence AS persistence, c.relkind = 'p' AS partitioned,
       EXISTS (SELECT 1 FROM pg_inherits i JOIN pg_class k ON k.oid = i.inhrelid
               WHERE i.inhparent = c.oid AND NOT k.relispartition) AS inherited,
       EXISTS (SELECT 1 FROM pg_inherits i WHERE i.inhrelid = c.oid) AS inherits,
       EXISTS (SELECT 1 FROM pg_subscription_rel s WHERE s.srrelid = c.oid) AS subscribed,
       EXISTS (SELECT 1 FROM pg_index i
               WHERE i.indrelid = c.oid AND i.indisunique AND NOT i.indimmediate) AS deferrable,
       EXISTS (SELECT 1 FROM pg_index i
               WHERE i.indrelid = c.oid AND i.indisunique AND i.indimmediate AND i.indpred IS NULL) AS keyed,
       c.relrowsecurity AND NOT (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user)
         AND (c.relforcerowsecurity OR NOT pg_has_role(c.relowner, 'USAGE')) AS row_security,
       ARRAY(SELECT quote_ident(n.nspname) || '.' || quote_ident(k.relname)
             FROM pg_partition_tree(c.oid) p JOIN pg_class k ON k.oid = p.relid
             JOIN pg_namespace n ON n.oid = k.relnamespace
             WHERE c.relkind = 'p' AND p.isleaf ORDER BY 1) AS partitions
FROM pg_class c
WHERE c.oid = :oid
