-- Which of these fields the tenant's documents have, by kind of value.
SELECT field, kind
FROM field_statistics
WHERE tenant_id = %(tenant_id)s AND field = ANY (%(fields)s::text[]) AND document_count > 0
