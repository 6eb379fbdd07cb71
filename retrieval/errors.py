"""Every error Pincite raises on purpose, as one tree.

PinciteError
├── InputError                  the caller can put it right
│   ├── InvalidPrincipal
│   ├── InvalidTenant
│   ├── InvalidQuestion
│   ├── InvalidFilter           names the field that is unknown or holds other things
│   ├── InvalidResponseFormat   names the place in the JSON schema
│   ├── InvalidManifest
│   ├── InvalidSources          the file that declares what is synced
│   ├── InvalidDataset
│   ├── InvalidSettings
│   ├── UrlRefused              a URL that we do not call: not public, not http, a port that is not open
│   ├── FetchTooLarge           more stands at a URL than is read
│   ├── UnsupportedFormat       what was handed in is of no kind that can be read
│   ├── DocumentTooLarge
│   └── UnreadableDocument      one file could not be turned into text; carries its own code
├── AccessDenied                who you are does not allow it (and never says whether it exists)
│   ├── Unauthenticated         no API key, or one we do not know
│   └── TenantLeaving           all of the tenant is being deleted
├── NotFound
├── Conflict
│   ├── PreconditionFailed      it is not as the caller took it to be
│   ├── IdempotencyKeyReused    the key stands for another question
│   └── AnswerWithdrawn         a kept answer shows what was changed or taken away since
├── LimitExceeded
│   ├── BudgetExhausted         what is left of a budget is less than the call may take; says when it is new
│   └── RateLimited             too many requests; carries when to come back
│       └── QueueFull           as much waits to be indexed as may; what it was asked for is not kept
├── IndexMismatch               the index was built by another model or an older schema
└── DependencyError             something we lean on gave way
    ├── Overloaded              more was asked at once than is served in time; asked later, it will be
    ├── StoreUnavailable        Postgres: not reachable, or gave up
    ├── GenerationChanged       the index has moved to another model meanwhile; asked again, that one answers
    ├── StoreUnsupported        Postgres: too old, or without a good enough pgvector
    ├── SourceUnavailable       what is synced could not be listed to its end
    ├── EmbedderUnavailable
    ├── RerankerUnavailable
    ├── InvalidStructuredAnswer the model's JSON does not fit the schema, mended or not
    ├── AnswerInterrupted       a kept answer that broke off, or one not read in time; asked again, it is written anew
    ├── UrlUnreachable          what stands at a URL cannot be had
    ├── ParserUnavailable       the processes that read hostile files cannot be kept alive
    └── LlmUnavailable          before its first token: the answer falls back
        └── LlmInterrupted      after its first token: the stream ends with an error event

`code` is stable and part of the HTTP contract; the status that belongs to it is in `api/errors.py`.
"""

from datetime import datetime
from typing import ClassVar


class PinciteError(Exception):
    """Base of every error raised on purpose. `str()` of it is safe to show to the caller."""

    code: ClassVar[str] = "internal_error"


class InputError(PinciteError):
    code = "invalid_input"


class InvalidPrincipal(InputError):
    code = "invalid_principal"


class InvalidTenant(InputError):
    code = "invalid_tenant"


class InvalidQuestion(InputError):
    code = "invalid_question"


class InvalidFilter(InputError):
    code = "invalid_filter"


class InvalidResponseFormat(InputError):
    code = "invalid_response_format"


class InvalidManifest(InputError):
    code = "invalid_manifest"


class InvalidSources(InputError):
    code = "invalid_sources"


class InvalidDataset(InputError):
    code = "invalid_dataset"


class InvalidSettings(InputError):
    code = "invalid_settings"


class UrlRefused(InputError):
    code = "url_refused"


class FetchTooLarge(InputError):
    code = "fetch_too_large"


class UnsupportedFormat(InputError):
    code = "unsupported_format"


class DocumentTooLarge(InputError):
    code = "document_too_large"


class UnreadableDocument(InputError):
    """One file could not be turned into text. `reason` is a stable code of its own, such as `encrypted`."""

    code = "unreadable_document"

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason

    def __reduce__(self) -> tuple[type["UnreadableDocument"], tuple[str, str]]:
        # Crosses process borders (parsing runs in worker processes), so it must survive pickling.
        return type(self), (self.reason, str(self))


class AccessDenied(PinciteError):
    code = "access_denied"


class Unauthenticated(AccessDenied):
    code = "unauthenticated"


class TenantLeaving(AccessDenied):
    code = "tenant_leaving"


class NotFound(PinciteError):
    code = "not_found"


class Conflict(PinciteError):
    code = "conflict"


class IdempotencyKeyReused(Conflict):
    code = "idempotency_key_reused"


class PreconditionFailed(Conflict):
    code = "precondition_failed"


class AnswerWithdrawn(Conflict):
    code = "answer_withdrawn"


class LimitExceeded(PinciteError):
    code = "limit_exceeded"


class BudgetExhausted(LimitExceeded):
    """What is left of a budget is less than the call may take. `reset_at`: when it is new."""

    code = "budget_exhausted"

    def __init__(self, message: str, reset_at: datetime) -> None:
        super().__init__(message)
        self.reset_at = reset_at


class RateLimited(LimitExceeded):
    """Asked again after `retry_after` seconds, it may be let through."""

    code = "rate_limited"

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class QueueFull(RateLimited):
    code = "queue_full"


class IndexMismatch(PinciteError):
    code = "index_mismatch"


class DependencyError(PinciteError):
    code = "dependency_unavailable"


class Overloaded(DependencyError):
    code = "overloaded"


class StoreUnavailable(DependencyError):
    code = "store_unavailable"


class GenerationChanged(DependencyError):
    code = "generation_changed"


class StoreUnsupported(DependencyError):
    code = "store_unsupported"


class SourceUnavailable(DependencyError):
    code = "source_unavailable"


class EmbedderUnavailable(DependencyError):
    """`retry_after`: seconds after which it asked to be asked again; None where it did not say."""

    code = "embedder_unavailable"

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RerankerUnavailable(DependencyError):
    code = "reranker_unavailable"


class InvalidStructuredAnswer(DependencyError):
    code = "invalid_structured_answer"


class AnswerInterrupted(DependencyError):
    code = "answer_interrupted"


class UrlUnreachable(DependencyError):
    """`retry_after`: seconds after which a server that answered wants to be asked again, if it said so."""

    code = "url_unreachable"

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ParserUnavailable(DependencyError):
    code = "parser_unavailable"


class LlmUnavailable(DependencyError):
    code = "llm_unavailable"


class LlmInterrupted(LlmUnavailable):
    code = "llm_interrupted"
