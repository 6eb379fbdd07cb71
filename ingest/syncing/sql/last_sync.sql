-- When the source's last run began, and how it ended.
SELECT outcome, started_at FROM sync_sources WHERE tenant_id = %(tenant_id)s AND source = %(source)s
