-- How many rows the storage engine believes the tables of one database to have.
SELECT table_name AS name, table_rows AS estimate
FROM information_schema.tables
WHERE table_schema = :schema AND table_type = 'BASE TABLE' AND table_rows IS NOT NULL
