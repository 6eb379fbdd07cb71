-- Past their time, and waited for by nobody.
DELETE FROM webhook_messages
WHERE tenant_id = %(tenant_id)s
  AND created_at < now() - make_interval(secs => %(age)s)
  AND NOT EXISTS (
      SELECT
      FROM webhook_deliveries
      WHERE webhook_deliveries.tenant_id = %(tenant_id)s
        AND webhook_deliveries.message_id = webhook_messages.message_id
        AND state = 'pending'
  )
