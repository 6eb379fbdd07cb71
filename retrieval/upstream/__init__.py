"""Servers that others run: how calls to them fail, when to ask again, when to leave them alone. Of no one model."""
