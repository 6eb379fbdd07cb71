DELETE FROM grants WHERE tenant_id = %(tenant_id)s AND document_id = ANY (%(document_ids)s::uuid[])
