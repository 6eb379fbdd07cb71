-- Endpoints that may be called and have something due, one claimer at a time. Not FOR UPDATE: who announces an event
-- refers to them, perhaps in a long transaction, and must neither wait nor be waited for.
SELECT endpoint_id, url, failures
FROM webhook_endpoints
WHERE tenant_id = %(tenant_id)s
  AND enabled
  AND resting_until <= now()
  AND endpoint_id <> ALL (%(busy)s::uuid[])
  AND EXISTS (
      SELECT
      FROM webhook_deliveries
      WHERE webhook_deliveries.tenant_id = %(tenant_id)s
        AND webhook_deliveries.endpoint_id = webhook_endpoints.endpoint_id
        AND state = 'pending'
        AND next_attempt_at <= now()
  )
FOR NO KEY UPDATE SKIP LOCKED
