-- What filters read of the documents: their metadata and their own fields by their names; under `dates`, in microseconds since
-- 1970, what reads as a date. Keys longer than the filters take (MAX_KEY_CHARS) are left out.
INSERT INTO document_fields (tenant_id, document_id, fields)
SELECT documents.tenant_id,
       documents.document_id,
       coalesce(own.written, '{}') || jsonb_build_object(
           'uri', documents.uri,
           'title', documents.title,
           'language', documents.language,
           'content_type', documents.content_type,
           'version', documents.version,
           'dates', coalesce(own.dates, '{}') || jsonb_build_object(
               'updated_at', (extract(epoch FROM documents.updated_at) * 1000000)::bigint
           )
       )
FROM documents
CROSS JOIN LATERAL (
    SELECT jsonb_object_agg('metadata.' || entry.key, entry.value) AS written,
           jsonb_object_agg('metadata.' || entry.key, read.moments) FILTER (WHERE read.moments IS NOT NULL) AS dates
    FROM jsonb_each(documents.metadata) AS entry
    CROSS JOIN LATERAL (
        SELECT jsonb_agg(moment) AS moments
        FROM jsonb_path_query(entry.value, '$[*] ? (@.type() == "string")') AS item
        CROSS JOIN LATERAL pincite_moment(item #>> '{}') AS moment
        WHERE moment IS NOT NULL
    ) AS read
    WHERE char_length(entry.key) <= 200
) AS own
WHERE documents.tenant_id = %(tenant_id)s AND documents.document_id = ANY (%(document_ids)s::uuid[])
ON CONFLICT (tenant_id, document_id) DO UPDATE SET fields = excluded.fields
