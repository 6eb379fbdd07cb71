"""Any cross-encoder of sentence-transformers as a reranker."""

from collections.abc import Sequence
from functools import partial

import numpy as np

from retrieval.errors import RerankerUnavailable
from retrieval.models.batching import CHARACTERS_AT_ONCE, Batcher, length
from retrieval.models.threads import model_thread
from retrieval.models.weights import quiet_loading
from retrieval.settings import RerankerSettings


class CrossEncoderReranker:
    """A `Reranker`: sentence-transformers' CrossEncoder, by name or path, in a thread of its own, in shared batches."""

    def __init__(self, settings: RerankerSettings) -> None:
        """Loads the model. Raises `RerankerUnavailable` when there is none by that name."""
        quiet_loading()
        from sentence_transformers import CrossEncoder

        assert settings.model is not None
        try:
            self._model = CrossEncoder(settings.model)
        except Exception as error:
            raise RerankerUnavailable(f"the reranker {settings.model!r} could not be loaded: {error}") from error
        self.name = settings.model
        self._budget = settings.budget
        self._thread = model_thread("reranker")
        closed = partial(RerankerUnavailable, "the reranker is closed")
        self._pairs = Batcher(
            self._predict, self._thread, CHARACTERS_AT_ONCE, closed=closed, weigh=lambda pair: length(*pair)
        )

    async def score(self, question: str, passages: Sequence[str]) -> list[float | None]:
        scores = await self._pairs.run([(question, passage) for passage in passages], self._budget)
        if passages and all(score is None for score in scores):
            raise RerankerUnavailable("the reranker scored nothing in time")
        return scores

    async def ping(self) -> None:
        await self.score("ready", ["ready"])

    async def close(self) -> None:
        """Lets the model's thread end; whoever waits for it hears so at once."""
        self._pairs.close()
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _predict(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        try:
            scores = self._model.predict(list(pairs), batch_size=len(pairs), show_progress_bar=False)
        except Exception as error:
            raise RerankerUnavailable(f"the reranker failed: {error}") from error
        found = np.asarray(scores, dtype=np.float64).reshape(len(pairs), -1)[:, 0]
        if not np.isfinite(found).all():
            raise RerankerUnavailable("the reranker gave scores that are none (NaN)")
        return [float(score) for score in found]
