-- Jobs that ended long ago, with what is left of their documents' bytes.
DELETE FROM jobs WHERE tenant_id = %(tenant_id)s AND finished_at < %(moment)s
