-- Whether the tenant was deleted, and nobody made it anew.
SELECT NOT EXISTS (SELECT FROM tenants WHERE tenant_id = %(tenant_id)s)
       AND EXISTS (SELECT FROM deletion_receipts WHERE tenant_id = %(tenant_id)s AND scope = 'tenant') AS gone
