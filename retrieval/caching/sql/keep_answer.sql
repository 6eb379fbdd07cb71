INSERT INTO cached_answers (tenant_id, scope, key, embedding, document_ids, answer, semantic_until, expires_at)
VALUES (%(tenant_id)s, %(scope)s, %(key)s, %(embedding)s, %(document_ids)s, %(answer)s,
        now() + make_interval(secs => %(semantic_ttl)s), now() + make_interval(secs => %(exact_ttl)s))
ON CONFLICT (tenant_id, scope, key) DO UPDATE
SET embedding = excluded.embedding, document_ids = excluded.document_ids, answer = excluded.answer,
    semantic_until = excluded.semantic_until, expires_at = excluded.expires_at
RETURNING key
