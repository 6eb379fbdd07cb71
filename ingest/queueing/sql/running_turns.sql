-- The turns that hold documents of the tenant.
SELECT DISTINCT turn_id FROM revisions WHERE tenant_id = %(tenant_id)s AND state = 'running'
