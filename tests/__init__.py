"""Unit (no I/O), integration (real Postgres), contract (promises that are easy to break), e2e (a real browser)."""
