"""Answers that are written once for all who may have them."""
