"""What a document's stored form depends on, besides its bytes: its parts change it when they are raised."""

from retrieval.models.protocols import Embedder
from retrieval.settings import IngestSettings

PARSING = 2
"""Raise it when parsing changes what is stored: every document is then read anew from its source."""
CUTTING = 1
"""Raise it when cutting changes: the next ingest of a document, or `pincite reembed`, cuts it anew."""


def cut_recipe(embedder: Embedder, settings: IngestSettings) -> str:
    """The same where a text would be cut into the same chunks, for the same model."""
    return f"{CUTTING}|{embedder.name}|{embedder.max_tokens}|{settings.overlap_tokens}"
