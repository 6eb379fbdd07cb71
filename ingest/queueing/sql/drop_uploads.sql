-- The bytes of what is settled. Those of failures stay for a while, so that they can be tried again.
DELETE FROM uploads WHERE tenant_id = %(tenant_id)s AND revision_id = ANY (%(revision_ids)s::uuid[])
