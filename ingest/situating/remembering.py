"""What a language model wrote of where chunks stand, put to use again without asking it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ingest.domain import Chunk, Document
from ingest.situating.prompting import Excerpt
from ingest.situating.wording import recipe_of_words, room_for_words, with_words
from retrieval.generation.gateway import name_of
from retrieval.models.protocols import Embedder
from retrieval.settings import Settings

Known = Callable[[Sequence[bytes]], Mapping[bytes, str]]
"""What is kept, of these keys."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptWords:
    """The words of this model, for chunks of this embedder: `recipe` and `room` are those of who asks the model."""

    model: str
    embedder: Embedder
    room: int

    @property
    def recipe(self) -> str:
        """What chunks with words are made by."""
        return recipe_of_words(self.model, self.room)

    def put(self, document: Document, chunks: Sequence[Chunk], known: Known) -> tuple[tuple[Chunk, ...], int]:
        """The chunks with the words that are kept for them, and how many have none."""
        keys = [Excerpt(document=document, chunk=chunk).key(self.model) for chunk in chunks]
        words = known(keys)
        situated = with_words(chunks, [words.get(key, "") for key in keys], self.embedder.count_tokens)
        return situated, sum(key not in words for key in keys)


def kept_words(settings: Settings, embedder: Embedder) -> KeptWords | None:
    """None where no model is asked for words."""
    if not settings.ingest.context_written:
        return None
    room = room_for_words(settings.ingest, embedder)
    return KeptWords(model=name_of(settings.llm), embedder=embedder, room=room)
