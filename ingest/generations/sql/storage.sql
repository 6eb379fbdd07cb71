SELECT coalesce(array_to_string(reloptions, ', '), '') AS options, relrowsecurity AS secured
FROM pg_class
WHERE oid = %(table)s::regclass
