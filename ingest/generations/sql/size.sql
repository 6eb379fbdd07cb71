-- What the live generation takes on disk, but for its vectors and their indexes.
SELECT sum(pg_total_relation_size(to_regclass(name)))::bigint AS bytes
FROM unnest(%(tables)s::text[]) AS name
