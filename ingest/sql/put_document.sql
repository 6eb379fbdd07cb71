-- The document's own row, new or replaced.
INSERT INTO documents (tenant_id, document_id, uri, title, acl, metadata, language, content_type, content,
                       page_starts, fingerprint, version, blocks, updated_at)
VALUES (%(tenant_id)s, %(document_id)s, %(uri)s, %(title)s, %(acl)s, %(metadata)s, %(language)s, %(content_type)s,
        %(content)s, %(page_starts)s, %(fingerprint)s, %(version)s, %(blocks)s, %(updated_at)s)
ON CONFLICT (tenant_id, uri) DO UPDATE
SET title = excluded.title, acl = excluded.acl, metadata = excluded.metadata, language = excluded.language,
    content_type = excluded.content_type, content = excluded.content, page_starts = excluded.page_starts,
    fingerprint = excluded.fingerprint, version = excluded.version, blocks = excluded.blocks,
    updated_at = excluded.updated_at
