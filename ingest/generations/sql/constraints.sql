-- A table's keys as they would be written, those it is referred to by first.
SELECT conname::text AS name, pg_get_constraintdef(oid) AS definition
FROM pg_constraint
WHERE conrelid = %(table)s::regclass AND contype IN ('p', 'u', 'f')
ORDER BY contype <> 'p', conname
