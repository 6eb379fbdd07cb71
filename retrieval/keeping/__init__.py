"""Answers that are kept for a while: asked for again with the same key, or resumed where a connection broke."""
