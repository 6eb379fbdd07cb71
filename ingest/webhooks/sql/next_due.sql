-- Seconds until something may be delivered; NULL: nothing is waiting.
SELECT extract(epoch FROM min(greatest(next_attempt_at, resting_until)) - now())::float8 AS due_in
FROM webhook_deliveries
JOIN webhook_endpoints
    ON webhook_endpoints.tenant_id = webhook_deliveries.tenant_id
    AND webhook_endpoints.endpoint_id = webhook_deliveries.endpoint_id
WHERE webhook_deliveries.tenant_id = %(tenant_id)s AND state = 'pending' AND enabled
