-- In how many documents each field of metadata is, by kind of value: the documents added (sign 1) or taken away
-- (sign -1). Text that reads as a date is of both kinds.
INSERT INTO field_statistics AS known (tenant_id, field, kind, document_count)
SELECT %(tenant_id)s, seen.field, seen.kind, %(sign)s * count(*)
FROM (
    SELECT described.document_id,
           entry.key AS field,
           CASE jsonb_typeof(item) WHEN 'string' THEN 'text' ELSE jsonb_typeof(item) END AS kind
    FROM document_fields AS described
    CROSS JOIN LATERAL jsonb_each(described.fields) AS entry
    CROSS JOIN LATERAL jsonb_path_query(entry.value, '$[*]') AS item
    WHERE described.tenant_id = %(tenant_id)s
      AND described.document_id = ANY (%(document_ids)s::uuid[])
      AND entry.key LIKE 'metadata.%%'
      AND jsonb_typeof(item) IN ('string', 'number', 'boolean')
    UNION
    SELECT described.document_id, dated.key, 'date'
    FROM document_fields AS described
    CROSS JOIN LATERAL jsonb_each(described.fields -> 'dates') AS dated
    WHERE described.tenant_id = %(tenant_id)s
      AND described.document_id = ANY (%(document_ids)s::uuid[])
      AND dated.key LIKE 'metadata.%%'
) AS seen
GROUP BY seen.field, seen.kind
ON CONFLICT (tenant_id, field, kind) DO UPDATE SET document_count = known.document_count + excluded.document_count
