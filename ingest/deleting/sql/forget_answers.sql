-- Kept answers go with the documents that they cite, in the writer's transaction.
DELETE FROM cached_answers WHERE tenant_id = %(tenant_id)s AND document_ids && %(document_ids)s::uuid[]
