-- What the document is cut into, before the chunks themselves.
INSERT INTO cut_documents (tenant_id, document_id, version, recipe, chunk_count, problem)
VALUES (%(tenant_id)s, %(document_id)s, %(version)s, %(recipe)s, %(chunk_count)s, %(problem)s)
