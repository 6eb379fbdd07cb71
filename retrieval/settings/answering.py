"""How questions are answered: the models, the search, what is kept of answers, and what they may cost."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, SecretStr, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, NoDecode

from retrieval.endpoints import EndpointSettings, read_endpoints
from retrieval.settings.reading import group


class EmbedderSettings(BaseSettings):
    """The model that turns text into vectors. A database is bound to one: see `IndexMismatch`."""

    model_config = group("PINCITE_EMBEDDER_")

    provider: Literal["sentence-transformers", "openai"] = Field(
        "sentence-transformers", description="A local model, or any OpenAI-compatible embeddings API"
    )
    model: str = Field("minilm", description="`minilm` (all-MiniLM-L6-v2 from a wheel), a model's name, or its path")
    backend: Literal["auto", "openvino", "torch"] = Field(
        "auto", description="A local model's: `auto` is OpenVINO where it is installed and agrees with torch"
    )
    base_url: str | None = Field(None, description="OpenAI-compatible: the API's base URL")
    api_key: SecretStr | None = Field(None, description="OpenAI-compatible: the API's key")
    max_tokens: int = Field(256, ge=16, description="OpenAI-compatible: longest input in tokens a chunk may take")
    tokenizer: str = Field("cl100k_base", description="OpenAI-compatible: tiktoken encoding that measures chunks")
    batch_size: int = Field(32, ge=1, description="Texts per model call")
    timeout: float = Field(5.0, gt=0, description="Seconds a question may wait for its embedding")


class RerankerSettings(BaseSettings):
    """What re-reads the best passages with the question: a cross-encoder, or the embedder's own token vectors."""

    model_config = group("PINCITE_RERANKER_")

    provider: Literal["auto", "none", "late-interaction", "sentence-transformers", "cohere", "tei"] = Field(
        "auto",
        description="late-interaction; a cross-encoder by sentence-transformers; HTTP as Cohere, Jina and vLLM take it"
        " (cohere) or TEI; none; `auto`: a cross-encoder where a model is named, else late-interaction",
    )
    model: str | None = Field(None, description="A CrossEncoder's name or path, or the HTTP model's name")
    url: str | None = Field(None, description="HTTP: the endpoint's whole URL, such as https://api.jina.ai/v1/rerank")
    api_key: SecretStr | None = Field(None, description="HTTP: the endpoint's key")
    top_n: int = Field(20, ge=1, description="How many fused candidates are re-read")
    weight: float = Field(0.5, ge=0, description="Weight of the reranker's z-score beside the fused one's")
    budget: float = Field(1.0, gt=0, description="Seconds; what is not scored by then keeps its fused place")
    cache_mb: int = Field(256, ge=0, description="Late interaction: memory for token vectors of passages met before")

    @property
    def kind(self) -> Literal["none", "late-interaction", "sentence-transformers", "cohere", "tei"]:
        """The provider that `auto` comes to."""
        if self.provider != "auto":
            return self.provider
        return "late-interaction" if self.model is None else "sentence-transformers"

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.provider in {"cohere", "tei"} and self.url is None:
            raise PydanticCustomError("no_url", "an HTTP reranker needs PINCITE_RERANKER_URL")
        if self.provider == "sentence-transformers" and self.model is None:
            raise PydanticCustomError("no_model", "a cross-encoder needs PINCITE_RERANKER_MODEL")
        if self.kind in {"late-interaction", "sentence-transformers"} and (self.url or self.api_key):
            unused = "PINCITE_RERANKER_URL" if self.url else "PINCITE_RERANKER_API_KEY"
            message = "{unused} is used only with PINCITE_RERANKER_PROVIDER=cohere or tei"
            raise PydanticCustomError("unused", message, {"unused": unused})
        return self


class LlmSettings(BaseSettings):
    """Any OpenAI-compatible chat endpoint, or several. Without a model, answers are quoted from the passages."""

    model_config = group("PINCITE_LLM_")

    model: str | None = Field(None, description="The model's name; unset: the extractive answerer")
    base_url: str | None = Field(None, description="The API's base URL; unset: OpenAI's")
    api_key: SecretStr | None = Field(None, description="The API's key; local servers often need none")
    endpoints: Annotated[tuple[EndpointSettings, ...] | None, NoDecode, BeforeValidator(read_endpoints)] = Field(
        None, description="Several endpoints instead of the one: a JSON list, or a YAML or JSON file's path (README)"
    )
    ask_from: float = Field(0.15, ge=0, le=1, description="Confidence from which it is asked; it may still say no")
    max_output_tokens: int = Field(600, ge=1, description="Most tokens an answer may take")
    max_context_tokens: int = Field(3000, ge=200, description="Most tokens of passages put before the model")
    context_window: int | None = Field(None, ge=512, description="All tokens the model can hold; unset: enough")
    connect_timeout: float = Field(3.0, gt=0, description="Seconds to connect")
    token_timeout: float = Field(15.0, gt=0, description="Seconds between two tokens, the first included")
    deadline: float = Field(60.0, gt=0, description="Seconds for the whole answer")
    retries: int = Field(2, ge=0, description="Retries of 429, 5xx and connection errors, before the first token")
    repairs: int = Field(1, ge=0, le=5, description="Times a model may mend JSON that does not fit the asked schema")
    concurrency: int = Field(8, ge=1, description="Answers each endpoint writes at once, per process; more wait")
    waiting: int = Field(32, ge=0, description="Answers that may wait for one; beyond them: `overloaded`, HTTP 503")
    patience: float = Field(5.0, gt=0, description="Seconds an answer waits for its turn")
    rewrite_timeout: float = Field(
        5.0, gt=0, description="Seconds to word a follow-up question so that it stands alone"
    )
    history_tokens: int = Field(1000, ge=100, description="Most tokens of a conversation; the oldest turns are dropped")
    tools: bool = Field(True, description="Whether a request may let the model search, open and list documents itself")
    tool_steps: int = Field(4, ge=1, le=20, description="Most tool calls for one answer, those refused included")

    @model_validator(mode="after")
    def _has_one_way_to_name_endpoints(self) -> Self:
        of_one = {"MODEL": self.model, "BASE_URL": self.base_url, "API_KEY": self.api_key}
        for name, value in of_one.items() if self.endpoints else ():
            if value is not None:
                reason = "PINCITE_LLM_{name} is one endpoint's: beside PINCITE_LLM_ENDPOINTS nothing would read it"
                raise PydanticCustomError("two_ways", reason, {"name": name})
        return self

    @property
    def servers(self) -> tuple[EndpointSettings, ...]:
        """Every endpoint, however it is configured; none: nothing is to be asked."""
        if self.model is None:
            return self.endpoints or ()
        only = EndpointSettings(name="default", model=self.model, base_url=self.base_url, api_key=self.api_key)
        return (only,)


class BreakerSettings(BaseSettings):
    """When a server that fails is left alone, and for how long. One breaker for each server, per process."""

    model_config = group("PINCITE_BREAKER_")

    failures: int = Field(5, ge=1, description="Failures within the window that open a server's breaker")
    window: float = Field(60.0, gt=0, description="Seconds within which they count")
    rest: float = Field(30.0, gt=0, description="Seconds it stays open before one call may probe")


class SpendingSettings(BaseSettings):
    """What language models cost, and what happens when a budget is used up."""

    model_config = group("PINCITE_SPENDING_")

    prices: Path | None = Field(None, description="A file like retrieval/spending/prices.toml, which it goes before")
    when_exhausted: Literal["extractive", "refuse"] = Field(
        "extractive", description="When a budget is used up: the quoted answer, or HTTP 429 (refuse)"
    )


class SearchSettings(BaseSettings):
    """How passages are found. The numbers' origins are in retrieval/search."""

    model_config = group("PINCITE_SEARCH_")

    at_once: int = Field(8, ge=1, description="Searches at work at once, per process; more wait, tenants in turn")
    waiting: int = Field(64, ge=0, description="Searches that may wait; beyond them: `overloaded`, HTTP 503")
    patience: float = Field(5.0, gt=0, description="Seconds a search waits for its turn")
    candidates: int = Field(100, ge=1, le=1000, description="Candidates each leg proposes")
    exact_below: int = Field(5000, ge=0, description="Visible chunks up to which the dense leg scans exactly")
    ef_search: int = Field(200, ge=10, le=1000, description="HNSW search width")
    shadow_rate: float = Field(
        0.01, ge=0, le=1, description="Share of searches by index repeated exactly in the background; 0: none"
    )
    dense_weight: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Cosine's share in fusion, BM25's is the rest; unset: by what each question brings",
    )
    refuse_below: float = Field(0.3, ge=0, le=1, description="Confidence under which nothing is quoted as an answer")


class GuardSettings(BaseSettings):
    """What may not leave in an answer, and what a provider may not see. Links to foreign places never pass."""

    model_config = group("PINCITE_GUARD_")

    secrets: Literal["redact", "off"] = Field("redact", description="Credentials in answers and quotes: redact, off")
    pii: Literal["redact", "off"] = Field(
        "off", description="E-mail addresses, phone numbers, IBANs, cards, SSNs in answers and quotes: redact, off"
    )
    provider_pii: Literal["mask", "off"] = Field(
        "off", description="The same, before the LLM's provider sees it: mask (the answer has it again), off"
    )


class CacheSettings(BaseSettings):
    """Which answers of an LLM are kept, and for how long. Kept per tenant and per set of principals."""

    model_config = group("PINCITE_CACHE_")

    enabled: bool = Field(True, description="Keep answers, and write one that many ask for at once only once")
    exact_ttl: float = Field(86400.0, gt=0, description="Seconds an answer is kept for the same question and passages")
    semantic_ttl: float = Field(
        900.0, ge=0, description="Seconds it is kept for nearly the same question; 0: not at all"
    )
    similarity: float = Field(0.97, ge=0.9, le=1, description="Cosine from which a question is nearly the same")
    entries: int = Field(1000, ge=1, le=10_000, description="Most answers kept per tenant; the oldest go first")
