-- What the calls since a moment took, by day (UTC), model or principal, and in all (part: null), each of them once.
-- Those that nobody settled in time count as what they are booked at.
WITH calls AS (
    SELECT *
    FROM spending_calls
    WHERE tenant_id = %(tenant_id)s
        AND reserved_at >= %(since)s
        AND (%(whole_tenant)s OR principals <@ %(principals)s)
), counted AS (
    SELECT parts.part, calls.*
    FROM calls
    CROSS JOIN LATERAL unnest(
        CASE %(by)s
            WHEN 'day' THEN ARRAY[to_char(reserved_at AT TIME ZONE 'UTC', 'YYYY-MM-DD')]
            WHEN 'model' THEN ARRAY[model]
            ELSE principals
        END
    ) AS parts (part)
    UNION ALL
    SELECT NULL, calls.* FROM calls
)
SELECT part,
       count(*) AS calls,
       sum(prompt_tokens)::bigint AS prompt_tokens,
       sum(completion_tokens)::bigint AS completion_tokens,
       sum(nano_usd)::bigint AS nano_usd,
       count(*) FILTER (WHERE estimated AND state = 'settled') AS estimated,
       count(*) FILTER (WHERE NOT priced) AS unpriced,
       count(*) FILTER (WHERE state = 'reserved' AND expires_at > now()) AS under_way,
       count(*) FILTER (WHERE state = 'reserved' AND expires_at <= now()) AS abandoned
FROM counted
GROUP BY part
ORDER BY part NULLS LAST
