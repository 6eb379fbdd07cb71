"""From settings to models."""

from retrieval.models.http_reranker import HttpReranker
from retrieval.models.openai_embedder import OpenAiEmbedder
from retrieval.models.protocols import Embedder, Reranker
from retrieval.models.sentence_transformer import CrossEncoderReranker, SentenceTransformerEmbedder
from retrieval.settings import EmbedderSettings, RerankerSettings


def load_embedder(settings: EmbedderSettings) -> Embedder:
    """The configured embedder. Raises `EmbedderUnavailable`."""
    if settings.provider == "openai":
        return OpenAiEmbedder(settings)
    return SentenceTransformerEmbedder(settings)


def load_reranker(settings: RerankerSettings) -> Reranker | None:
    """The configured reranker, None when none is. Raises `RerankerUnavailable`."""
    if settings.provider != "sentence-transformers":
        return HttpReranker(settings)
    return None if settings.model is None else CrossEncoderReranker(settings)
