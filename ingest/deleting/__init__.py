"""Deletes that are true: what goes with a document and with a tenant, and a receipt for it."""
