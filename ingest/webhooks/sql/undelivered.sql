-- Since when the oldest message waits to be delivered, in seconds, and how many endpoints are disabled.
SELECT (
    SELECT coalesce(extract(epoch FROM now() - min(due_since)), 0)::float8
    FROM webhook_deliveries
    JOIN webhook_endpoints
        ON webhook_endpoints.tenant_id = webhook_deliveries.tenant_id
        AND webhook_endpoints.endpoint_id = webhook_deliveries.endpoint_id
    WHERE webhook_deliveries.tenant_id = %(tenant_id)s AND state = 'pending' AND enabled
) AS oldest, (
    SELECT count(*)::integer FROM webhook_endpoints WHERE tenant_id = %(tenant_id)s AND NOT enabled
) AS disabled
