"""A chunk as statements read it, and the passage it makes."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from retrieval.domain import ChunkKey, Passage, Section


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredChunk:
    """A chunk's row, with what it needs of its document's."""

    document_id: UUID
    ordinal: int
    uri: str
    title: str
    version: int
    heading_path: list[str]
    sections: list[dict[str, Any]]
    lead: str
    text: str
    char_start: int
    char_end: int
    first_page: int | None
    last_page: int | None
    page_starts: list[int]

    @property
    def passage(self) -> Passage:
        """The chunk as a passage."""
        return Passage(
            key=ChunkKey(document_id=self.document_id, ordinal=self.ordinal),
            uri=self.uri,
            title=self.title,
            version=self.version,
            heading_path=tuple(self.heading_path),
            lead=self.lead,
            text=self.text,
            char_start=self.char_start,
            char_end=self.char_end,
            first_page=self.first_page,
            last_page=self.last_page,
            sections=tuple(
                Section(start=each["start"], heading_path=tuple(each["heading_path"])) for each in self.sections
            ),
            page_starts=tuple(self.page_starts),
        )
