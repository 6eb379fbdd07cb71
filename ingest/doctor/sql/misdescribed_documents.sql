-- Documents whose fields, as filters read them, are missing or not theirs.
SELECT documents.document_id
FROM documents
LEFT JOIN document_fields AS described
       ON described.tenant_id = documents.tenant_id AND described.document_id = documents.document_id
WHERE documents.tenant_id = %(tenant_id)s
  AND (described.fields IS NULL
       OR NOT described.fields @> jsonb_build_object(
           'uri', documents.uri, 'title', documents.title, 'language', documents.language, 'version', documents.version
       ))
LIMIT %(most)s
