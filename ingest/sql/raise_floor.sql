-- Documents of these versions go: a version is never used again, so that nobody takes a new text for the deleted one.
INSERT INTO version_floors (tenant_id, version)
VALUES (%(tenant_id)s, %(version)s)
ON CONFLICT (tenant_id) DO UPDATE SET version = greatest(version_floors.version, excluded.version)
