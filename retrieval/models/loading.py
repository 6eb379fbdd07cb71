"""From settings to models."""

from retrieval.errors import RerankerUnavailable
from retrieval.models.cross_encoder import CrossEncoderReranker
from retrieval.models.http_reranker import HttpReranker
from retrieval.models.late_interaction import LateInteractionReranker
from retrieval.models.openai_embedder import OpenAiEmbedder
from retrieval.models.protocols import Embedder, Reranker, TokenEmbedder
from retrieval.models.sentence_transformer import SentenceTransformerEmbedder
from retrieval.settings import BreakerSettings, EmbedderSettings, RerankerSettings


def load_embedder(settings: EmbedderSettings, breaker: BreakerSettings | None = None) -> Embedder:
    """The configured embedder. Raises `EmbedderUnavailable`."""
    if settings.provider == "openai":
        return OpenAiEmbedder(settings, breaker)
    return SentenceTransformerEmbedder(settings)


def load_reranker(
    settings: RerankerSettings, embedder: object, breaker: BreakerSettings | None = None
) -> Reranker | None:
    """The configured reranker, None when none is; late interaction uses the embedder. Raises `RerankerUnavailable`."""
    if settings.kind == "none":
        return None
    if settings.kind == "sentence-transformers":
        return CrossEncoderReranker(settings)
    if settings.kind != "late-interaction":
        return HttpReranker(settings, breaker)
    if isinstance(embedder, TokenEmbedder):
        return LateInteractionReranker(embedder, settings)
    if settings.provider == "auto":
        return None
    raise RerankerUnavailable("late interaction needs a local embedder: this one gives no token vectors")
