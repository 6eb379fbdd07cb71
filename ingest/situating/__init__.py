"""Where a chunk stands in its document, in a language model's words: it is found by them, and they are never shown."""
