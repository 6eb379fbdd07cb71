-- What was kept of an answer after an event, for the caller it was made for, and whether all it shows still stands.
SELECT kept_answers.request,
       kept_answers.state,
       kept_answers.lease_until > now() AS alive,
       kept_answers.state <> 'withdrawn' AND NOT EXISTS (
           SELECT
           FROM kept_sources
           LEFT JOIN documents
                  ON documents.tenant_id = kept_sources.tenant_id
                 AND documents.document_id = kept_sources.document_id
                 AND documents.version = kept_sources.version
                 AND documents.acl && %(principals)s::text[]
           WHERE kept_sources.tenant_id = %(tenant_id)s
             AND kept_sources.answer_id = kept_answers.answer_id
             AND documents.document_id IS NULL
       ) AS standing,
       coalesce(kept_events.events, '[]') AS events
FROM kept_answers
LEFT JOIN kept_events
       ON kept_events.tenant_id = kept_answers.tenant_id
      AND kept_events.answer_id = kept_answers.answer_id
      AND kept_events.last_number > %(after)s
WHERE kept_answers.tenant_id = %(tenant_id)s
  AND kept_answers.answer_id = %(answer_id)s
  AND kept_answers.owner = %(owner)s
  AND kept_answers.expires_at > now()
ORDER BY kept_events.last_number
LIMIT 100
