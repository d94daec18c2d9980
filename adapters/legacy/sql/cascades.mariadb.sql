-- Foreign keys by which the engine itself changes rows of the table :name in :schema: no trigger sees that.
SELECT r.CONSTRAINT_NAME AS name, r.REFERENCED_TABLE_NAME AS parent, r.DELETE_RULE AS on_delete, r.UPDATE_RULE AS on_update
FROM information_schema.REFERENTIAL_CONSTRAINTS r
WHERE r.CONSTRAINT_SCHEMA = :schema AND r.TABLE_NAME = :name
  AND (r.DELETE_RULE IN ('CASCADE', 'SET NULL', 'SET DEFAULT') OR r.UPDATE_RULE IN ('CASCADE', 'SET NULL', 'SET DEFAULT'))
ORDER BY r.CONSTRAINT_NAME
