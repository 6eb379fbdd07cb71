-- Large tables that the planner knows nothing of.
SELECT count(*) AS found
FROM pg_stat_user_tables
WHERE (schemaname = 'public' OR schemaname ~ '^pincite_g[0-9]+$')
  AND n_live_tup > 10000
  AND last_analyze IS NULL
  AND last_autoanalyze IS NULL
