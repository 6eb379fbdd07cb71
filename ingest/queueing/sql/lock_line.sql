-- Who adds to the tenant's line at the same time does so one after the other: what is counted stays true.
SELECT pg_advisory_xact_lock(hashtextextended('pincite:line:' || %(tenant_id)s, 0)) IS NULL AS locked
