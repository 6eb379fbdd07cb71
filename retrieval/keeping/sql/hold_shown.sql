-- Which of the shown documents are still there as they were shown; none of them can be deleted before the end.
-- One that is being deleted just now is left out: its writer would not see what is put down meanwhile.
SELECT shown.position
FROM documents
JOIN unnest(%(document_ids)s::uuid[], %(versions)s::integer[]) WITH ORDINALITY AS shown (document_id, version, position)
  ON documents.document_id = shown.document_id
WHERE documents.tenant_id = %(tenant_id)s AND documents.version = shown.version
FOR KEY SHARE OF documents SKIP LOCKED
