-- As the planner knows it: counting would take as long as it is large.
SELECT greatest(reltuples, 0)::bigint AS found FROM pg_class WHERE oid = 'spending_calls'::regclass
