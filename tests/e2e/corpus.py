"""A corpus of three documents, one of them hostile, with a key for every kind of asker."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from ingest.sources import Request
from retrieval.access import tenant_id
from retrieval.database.store import open_store
from retrieval.engine import Engine
from retrieval.generation.llm import Llm
from retrieval.keys import create_key
from tests.conftest import ingest_folder, on_database
from tests.fakes import WordEmbedder

TENANT = "acme"
HOSTILE_SENTENCE = "The harbour café 😀 opens its doors at nine on weekdays."
_FILLER = "Nobody remembers why the walrus statue was painted green. 🎉\n\n" * 150
PUBLIC = {
    "gate.md": "# Gate\n\n## Hours\n\nThe north gate closes at eight in the evening.\n",
    "harbour 🎉.md": (
        "# Harbour 👩‍👩‍👧 <img src=x onerror=\"window.owned = 'title'\">\n\n"
        f"{_FILLER}"
        f"## Opening <script>window.owned = 'heading'</script>\n\n{HOSTILE_SENTENCE} "
        "<img src=x onerror=\"window.owned = 'image'\"> <script>window.owned = 'script'</script>\n"
    ),
}
SECRET = {"pay.md": "# Pay bands\n\nThe director of the observatory earns 9000 a month.\n"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """`plain` asks as ada, `hr` as a member of HR, `mute` may not ask.

    `speaker` asks for whom it likes; its own principals, HR's, are lent to nobody.
    """

    plain: str
    hr: str
    speaker: str
    mute: str


def fill(dsn: str, embedder: WordEmbedder, folder: Path) -> Keys:
    """Ingests the three documents and makes the keys."""
    for name, documents, principal in (("public", PUBLIC, "everyone"), ("secret", SECRET, "group:hr")):
        place = folder / name
        place.mkdir()
        for file, text in documents.items():
            (place / file).write_text(text)
        report = ingest_folder(dsn, embedder, TENANT, Request(paths=(place,), acl=frozenset({principal})))
        assert not report.failures
    tenant = tenant_id(TENANT)
    return Keys(
        plain=create_key(dsn, tenant, "plain", {"query"}, {"user:ada"}),
        hr=create_key(dsn, tenant, "hr", {"query"}, {"group:hr"}),
        speaker=create_key(dsn, tenant, "speaker", {"query", "act_as"}, {"group:hr"}),
        mute=create_key(dsn, tenant, "mute", {"act_as"}, set()),
    )


@asynccontextmanager
async def engine_on(dsn: str, embedder: WordEmbedder, llm: Llm | None = None) -> AsyncIterator[Engine]:
    """An engine on the corpus with a fake embedder, and with `llm`, which it closes."""
    settings = on_database(dsn)
    async with open_store(dsn, settings.database) as store:
        try:
            yield Engine(settings=settings, store=store, embedder=embedder, reranker=None, llm=llm)
        finally:
            if llm is not None:
                await llm.close()
