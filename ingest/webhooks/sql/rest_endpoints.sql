-- Nobody else calls them in this time.
UPDATE webhook_endpoints
SET resting_until = now() + make_interval(secs => %(seconds)s), failures = greatest(failures, %(failures)s)
WHERE tenant_id = %(tenant_id)s AND endpoint_id = ANY (%(endpoint_ids)s::uuid[])
