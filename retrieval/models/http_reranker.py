"""Rerankers behind HTTP: the shape of Cohere, Jina, Voyage and vLLM, and that of Hugging Face's TEI."""

import asyncio
from collections.abc import Sequence

import httpx2
from pydantic import BaseModel, FiniteFloat, TypeAdapter, ValidationError

from retrieval.errors import RerankerUnavailable
from retrieval.settings import BreakerSettings, RerankerSettings
from retrieval.upstream.breaker import Breaker
from retrieval.upstream.faults import Broken, Fault, fault_of_status


class _CohereResult(BaseModel):
    index: int
    relevance_score: FiniteFloat


class _CohereAnswer(BaseModel):
    results: list[_CohereResult]


class _TeiResult(BaseModel):
    index: int
    score: FiniteFloat


_TEI_ANSWER = TypeAdapter(list[_TeiResult])


class HttpReranker:
    """A `Reranker` behind an HTTP endpoint. Never retried: the fused order is at hand, and a caller waits.

    One that fails is left alone for a while.
    """

    def __init__(self, settings: RerankerSettings, breaker: BreakerSettings | None = None) -> None:
        self._breaker = Breaker("the reranker", breaker or BreakerSettings())
        assert settings.url is not None
        self.name = settings.model or settings.provider
        self._settings = settings
        self._url = settings.url
        key = settings.api_key.get_secret_value() if settings.api_key else None
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._client = httpx2.AsyncClient(headers=headers, timeout=settings.budget)

    async def score(self, question: str, passages: Sequence[str]) -> list[float]:
        try:
            with self._breaker.call():
                scores = await self._scored(question, passages)
        except Fault as fault:
            raise RerankerUnavailable(str(fault)) from fault
        return [scores[at] for at in range(len(passages))]

    async def _scored(self, question: str, passages: Sequence[str]) -> dict[int, float]:
        try:
            async with asyncio.timeout(self._settings.budget):
                answer = await self._client.post(self._url, json=self._asked(question, passages))
            answer.raise_for_status()
            scores = self._scores(answer.content)
        except httpx2.HTTPStatusError as error:
            raise fault_of_status(error.response.status_code, error.response.headers, "the reranker") from error
        except (httpx2.HTTPError, TimeoutError) as error:
            raise Broken(f"the reranker did not answer: {type(error).__name__}") from error
        except ValidationError as error:
            raise Broken("the reranker's answer is not in the configured shape") from error
        if sorted(scores) != list(range(len(passages))):
            raise Broken("the reranker's answer is not one score per passage")
        return scores

    async def ping(self) -> None:
        """Any answer that is not a server error is a sign of life: a scored pair might be billed at every probe."""
        try:
            answer = await self._client.get(self._url)
        except httpx2.HTTPError as error:
            raise RerankerUnavailable(f"the reranker did not answer: {type(error).__name__}") from error
        if answer.is_server_error:
            raise RerankerUnavailable(f"the reranker answered HTTP {answer.status_code}")

    async def close(self) -> None:
        """Closes the client."""
        await self._client.aclose()

    def _asked(self, question: str, passages: Sequence[str]) -> dict[str, object]:
        if self._settings.provider == "tei":
            return {"query": question, "texts": list(passages), "truncate": True}
        documents = {"query": question, "documents": list(passages), "top_n": len(passages)}
        return {"model": self._settings.model, **documents}

    def _scores(self, content: bytes) -> dict[int, float]:
        if self._settings.provider == "tei":
            return {each.index: each.score for each in _TEI_ANSWER.validate_json(content)}
        return {each.index: each.relevance_score for each in _CohereAnswer.model_validate_json(content).results}
