-- The source's run begins.
INSERT INTO sync_sources (tenant_id, source, outcome, started_at)
VALUES (%(tenant_id)s, %(source)s, 'running', %(started_at)s)
ON CONFLICT (tenant_id, source) DO UPDATE SET outcome = excluded.outcome, started_at = excluded.started_at
