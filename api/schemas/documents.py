"""Documents, as stored and as managed."""

from datetime import datetime
from typing import Any, Self
from uuid import UUID

from pydantic import Field

from api.schemas.base import Wire
from api.schemas.passages import Place
from ingest.queueing.holdings import Holding, LatestRevision, Status
from retrieval.domain import Passage
from retrieval.reading import DocumentSummary, StoredDocument


class DocumentOut(Wire):
    """A document in a list."""

    document_id: UUID
    uri: str
    title: str
    content_type: str
    language: str
    metadata: dict[str, Any]
    version: int = Field(description="Another one has another text")
    chunk_count: int
    updated_at: datetime

    @classmethod
    def of(cls, document: DocumentSummary) -> Self:
        return cls(
            document_id=document.document_id,
            uri=document.uri,
            title=document.title,
            content_type=document.content_type,
            language=document.language,
            metadata=document.metadata,
            version=document.version,
            chunk_count=document.chunk_count,
            updated_at=document.updated_at,
        )


class DocumentResponse(DocumentOut):
    """A document as stored: the text that every offset points into."""

    text: str
    page_starts: list[int] = Field(description="The offset at which each page begins; empty without pages")

    @classmethod
    def whole(cls, document: StoredDocument) -> Self:
        summary = DocumentOut.of(document)
        return cls(text=document.text, page_starts=document.page_starts, **dict(summary))


class PendingOut(Wire):
    """The state of a document that was handed in last, while it is not searched: it waits, is worked on, or failed."""

    revision_id: UUID
    job_id: UUID
    attempts: int
    next_attempt_at: datetime | None = Field(description="When a worker takes it at the earliest, while it waits")
    error_code: str | None = Field(description="Why it failed, or what it waits for")
    error_message: str | None
    submitted_at: datetime
    allow: list[str]
    metadata: dict[str, Any]

    @classmethod
    def of(cls, revision: LatestRevision) -> Self:
        return cls(
            revision_id=revision.revision_id,
            job_id=revision.job_id,
            attempts=revision.attempts,
            next_attempt_at=revision.due_at if revision.state == "queued" else None,
            error_code=revision.error_code,
            error_message=revision.error_message,
            submitted_at=revision.submitted_at,
            allow=revision.acl,
            metadata=revision.metadata,
        )


class ManagedDocument(Wire):
    """A document as who manages it sees it. What is `null` is not known until it is first indexed."""

    document_id: UUID
    uri: str
    status: Status = Field(description="Of what was handed in last; `indexed`: all of that is searched")
    allow: list[str] = Field(description="Who may see what is searched now, or will be at first")
    metadata: dict[str, Any]
    title: str | None
    content_type: str | None
    language: str | None
    version: int | None = Field(description="Another one has another text")
    chunk_count: int | None
    updated_at: datetime | None
    pending: PendingOut | None = Field(description="What is not searched yet; null where `status` is `indexed`")

    @classmethod
    def of(cls, holding: Holding) -> Self:
        stored, pending = holding.stored, holding.pending
        described = stored or pending
        assert described is not None  # else there is no such document
        return cls(
            document_id=holding.document_id,
            uri=holding.uri,
            status=holding.status,
            allow=described.acl,
            metadata=described.metadata,
            title=described.title,
            content_type=stored.content_type if stored else None,
            language=described.language,
            version=described.version,
            chunk_count=stored.chunk_count if stored else None,
            updated_at=stored.updated_at if stored else None,
            pending=PendingOut.of(pending) if pending else None,
        )


class ManagedDocumentResponse(ManagedDocument):
    """The same with its text, for a key whose principals may see that; `null` for others."""

    text: str | None
    page_starts: list[int] | None

    @classmethod
    def showing(cls, holding: Holding, shown: StoredDocument | None) -> Self:
        return cls(
            text=shown.text if shown else None,
            page_starts=shown.page_starts if shown else None,
            **dict(ManagedDocument.of(holding)),
        )


class DocumentsResponse(Wire):
    """A page of documents, by uri: of all documents for a key that manages them, else of those the caller may see."""

    documents: list[ManagedDocument] | list[DocumentOut]
    next: str | None = Field(description="`cursor` of the next page; null: this is the last")


class ChunkOut(Place):
    """A piece of a document, as it is searched."""

    ordinal: int
    text: str

    @classmethod
    def of(cls, passage: Passage) -> Self:
        return cls(
            document_id=passage.key.document_id,
            version=passage.version,
            uri=passage.uri,
            title=passage.title,
            section=list(passage.heading_path),
            first_page=passage.first_page,
            last_page=passage.last_page,
            char_start=passage.char_start,
            char_end=passage.char_end,
            ordinal=passage.key.ordinal,
            text=passage.text,
        )


class ChunksResponse(Wire):
    """A page of a document's pieces, in its order."""

    chunks: list[ChunkOut]
    next: str | None = Field(description="`cursor` of the next page; null: this is the last")
