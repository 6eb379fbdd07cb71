-- Living keys that may both speak for anybody and see what is hidden.
SELECT tenant_id, count(*) AS found
FROM api_keys
WHERE revoked_at IS NULL AND scopes @> '{act_as,admin}'
GROUP BY tenant_id
ORDER BY tenant_id
