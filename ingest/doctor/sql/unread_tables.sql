-- Large tables that the planner knows nothing of.
SELECT count(*) AS found
FROM pg_stat_user_tables
WHERE schemaname = current_schema() AND n_live_tup > 10000 AND last_analyze IS NULL AND last_autoanalyze IS NULL
