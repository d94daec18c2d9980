-- Versions of rows that purge has not been able to remove.
SELECT VARIABLE_VALUE AS length FROM information_schema.GLOBAL_STATUS
WHERE VARIABLE_NAME = 'INNODB_HISTORY_LIST_LENGTH'
