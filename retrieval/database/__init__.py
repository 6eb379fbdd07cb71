"""Postgres: the server, the pool, the statements, and the one border where its errors become ours."""
