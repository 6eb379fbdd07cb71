"""A document, as stored."""

from datetime import datetime
from typing import Any, Self
from uuid import UUID

from pydantic import Field

from api.schemas.base import Wire
from retrieval.reading import StoredDocument


class DocumentResponse(Wire):
    """A document as stored: the text that every offset points into."""

    document_id: UUID
    uri: str
    title: str
    text: str
    content_type: str
    language: str
    metadata: dict[str, Any]
    page_starts: list[int] = Field(description="The offset at which each page begins; empty without pages")
    version: int
    updated_at: datetime

    @classmethod
    def of(cls, document: StoredDocument) -> Self:
        return cls(
            document_id=document.document_id,
            uri=document.uri,
            title=document.title,
            text=document.text,
            content_type=document.content_type,
            language=document.language,
            metadata=document.metadata,
            page_starts=list(document.page_starts),
            version=document.version,
            updated_at=document.updated_at,
        )
