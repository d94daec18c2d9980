-- Who besides its owner may do what with a view? Dropping it would forget.
SELECT
  CASE WHEN g.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END AS grantee,
  g.privilege_type AS privilege,
  g.is_grantable AS grantable
FROM pg_class c
CROSS JOIN LATERAL aclexplode(c.relacl) g
WHERE c.oid = to_regclass(:view)
  AND g.grantee <> c.relowner
