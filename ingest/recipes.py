"""What a document's stored form depends on, besides its bytes: its parts change it when they are raised."""

from retrieval.models.protocols import Embedder
from retrieval.settings import IngestSettings

PARSING = 2
"""Raise it when parsing changes what is stored: every document is then read anew from its source."""
CUTTING = 2
"""Raise it when cutting changes: the next ingest of a document, or `pincite reembed`, cuts it anew."""


def cut_recipe(embedder: Embedder, settings: IngestSettings, situating: str = "") -> str:
    """The same where a text would be cut into the same chunks, for the same model, with the same words of where they
    stand; `situating`: the recipe of those."""
    parts = (CUTTING, embedder.name, embedder.max_tokens, settings.overlap_tokens)
    return "|".join(map(str, (*parts, *filter(None, [situating]))))


def reading_recipe(settings: IngestSettings, situating: str) -> str:
    """The same where no document needs to be read again from its source, whichever model its chunks were embedded by:
    an index that moves to another one makes them anew itself."""
    return "|".join(map(str, (PARSING, CUTTING, settings.overlap_tokens, *filter(None, [situating]))))
