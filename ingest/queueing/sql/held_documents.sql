-- A tenant's documents by uri, after one of them, whoever may see them: those stored, and those on their way or failed, of
-- one state or of all. A failure counts until a later state was handed in.
WITH stored AS (
    SELECT documents.document_id, documents.uri
    FROM documents
    LEFT JOIN document_fields AS described
           ON described.tenant_id = documents.tenant_id AND described.document_id = documents.document_id
    WHERE documents.tenant_id = %(tenant_id)s
      AND documents.uri > %(after)s
      AND starts_with(documents.uri, %(prefix)s)
      AND (%(document_filter)s::jsonpath IS NULL
           OR jsonb_path_match(described.fields, %(document_filter)s::jsonpath, %(filter_values)s::jsonb, true))
      AND (%(status)s::text IS NULL OR %(status)s = 'indexed' AND NOT EXISTS (
          SELECT
          FROM revisions
          WHERE revisions.tenant_id = %(tenant_id)s
            AND revisions.document_id = documents.document_id
            AND (revisions.state IN ('queued', 'running') OR revisions.state = 'failed' AND NOT EXISTS (
                SELECT
                FROM revisions AS later
                WHERE later.tenant_id = %(tenant_id)s
                  AND later.document_id = revisions.document_id
                  AND (later.submitted_at, later.revision_id) > (revisions.submitted_at, revisions.revision_id)
            ))
      ))
    ORDER BY documents.uri
    LIMIT %(most)s
), on_their_way AS (
    SELECT revisions.document_id, revisions.uri
    FROM revisions
    WHERE revisions.tenant_id = %(tenant_id)s
      AND revisions.state IN ('queued', 'running', 'failed')
      AND (%(status)s::text IS NULL OR revisions.state = %(status)s)
      AND revisions.uri > %(after)s
      AND starts_with(revisions.uri, %(prefix)s)
      AND (revisions.state <> 'failed' OR NOT EXISTS (
          SELECT
          FROM revisions AS later
          WHERE later.tenant_id = %(tenant_id)s
            AND later.document_id = revisions.document_id
            AND (later.submitted_at, later.revision_id) > (revisions.submitted_at, revisions.revision_id)
      ))
      AND (%(document_filter)s::jsonpath IS NULL OR EXISTS (
          SELECT
          FROM document_fields AS described
          WHERE described.tenant_id = %(tenant_id)s
            AND described.document_id = revisions.document_id
            AND jsonb_path_match(described.fields, %(document_filter)s::jsonpath, %(filter_values)s::jsonb, true)
      ))
    ORDER BY revisions.uri
    LIMIT %(most)s
)
SELECT document_id, uri FROM stored
UNION
SELECT document_id, uri FROM on_their_way
ORDER BY uri
LIMIT %(most)s
