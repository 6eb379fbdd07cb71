SELECT polname::text AS name,
       pg_get_expr(polqual, polrelid) AS shown,
       pg_get_expr(polwithcheck, polrelid) AS written
FROM pg_policy
WHERE polrelid = %(table)s::regclass
