-- Documents that stand under other principals than their own permissions name.
SELECT documents.document_id
FROM documents
LEFT JOIN (
    SELECT document_id, array_agg(principal ORDER BY principal) AS principals
    FROM grants
    WHERE tenant_id = %(tenant_id)s
    GROUP BY document_id
) AS granted ON granted.document_id = documents.document_id
WHERE documents.tenant_id = %(tenant_id)s
  AND coalesce(granted.principals, '{}') <> ARRAY(
      SELECT DISTINCT named FROM unnest(documents.acl) AS named ORDER BY named
  )
LIMIT %(most)s
