-- The documents of a job, each waiting to be taken.
INSERT INTO revisions (tenant_id, revision_id, job_id, position, document_id, uri, file_name, url, title, language, acl,
                       metadata, bytes, state, due_at, submitted_at)
SELECT %(tenant_id)s, revision_id, %(job_id)s, position, document_id, uri, file_name, url, title, language, acl,
       metadata, bytes, 'queued', %(due_at)s, %(moment)s
FROM jsonb_to_recordset(%(revisions)s::jsonb) AS given (
    revision_id uuid, position integer, document_id uuid, uri text, file_name text, url text, title text, language text,
    acl text[], metadata jsonb, bytes integer
)
