"""From bytes to index: what the retrieval room reads, this room writes."""
