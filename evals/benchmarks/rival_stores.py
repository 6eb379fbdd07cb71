"""The other side of `rivals.py`: one vector store, written and asked through its own API, as its documentation does.

Runs by itself, with the Python of a virtual environment that holds the store's package and not this project: they pin
another version of pgvector. `rival_stores.py STORE DSN DATA` prints its measurements as JSON.
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol
from uuid import UUID

import numpy as np

LIMIT = 10
_BATCH = 1000

Row = tuple[str, str, list[float], str]
"""Id, text, vector, team."""


class RivalStore(Protocol):
    def write(self, rows: Sequence[Row]) -> None: ...

    def finish(self) -> None: ...

    def search(self, vector: list[float], team: str | None) -> list[str]: ...


class LangChain:
    """docs.langchain.com, PGVectorStore: a metadata column, ids as uuids, `apply_vector_index()` after the load."""

    def __init__(self, dsn: str) -> None:
        from langchain_core.embeddings import DeterministicFakeEmbedding
        from langchain_postgres import Column, PGEngine, PGVectorStore

        engine = PGEngine.from_connection_string(url=dsn.replace("postgresql://", "postgresql+psycopg://"))
        engine.init_vectorstore_table("langchain", 384, metadata_columns=[Column("team", "TEXT")])
        self._store = PGVectorStore.create_sync(
            engine, DeterministicFakeEmbedding(size=384), "langchain", metadata_columns=["team"]
        )

    def write(self, rows: Sequence[Row]) -> None:
        ids, texts, vectors, teams = zip(*rows, strict=True)
        self._store.add_embeddings(
            list(texts), list(vectors), [{"team": team} for team in teams], [str(UUID(int=int(key))) for key in ids]
        )

    def finish(self) -> None:
        from langchain_postgres.v2.indexes import HNSWIndex

        self._store.apply_vector_index(HNSWIndex())

    def search(self, vector: list[float], team: str | None) -> list[str]:
        found = self._store.similarity_search_with_score_by_vector(vector, LIMIT, {"team": team} if team else None)
        return [str(UUID(str(document.id)).int) for document, _ in found]


class LlamaIndex:
    """developers.llamaindex.ai, PGVectorStore: `hnsw_kwargs` as in its notebook, the index made with the table."""

    def __init__(self, dsn: str) -> None:
        from llama_index.vector_stores.postgres import PGVectorStore

        self._store = PGVectorStore.from_params(
            connection_string=dsn.replace("postgresql://", "postgresql+psycopg2://"),
            async_connection_string=dsn.replace("postgresql://", "postgresql+asyncpg://"),
            table_name="llama",
            embed_dim=384,
            hnsw_kwargs={
                "hnsw_m": 16,
                "hnsw_ef_construction": 64,
                "hnsw_ef_search": 40,
                "hnsw_dist_method": "vector_cosine_ops",
            },
        )

    def write(self, rows: Sequence[Row]) -> None:
        from llama_index.core.schema import TextNode

        self._store.add(
            [
                TextNode(id_=key, text=text, embedding=vector, metadata={"team": team})
                for key, text, vector, team in rows
            ]
        )

    def finish(self) -> None:
        """The index is there already."""

    def search(self, vector: list[float], team: str | None) -> list[str]:
        from llama_index.core.vector_stores import MetadataFilter, MetadataFilters, VectorStoreQuery

        filters = MetadataFilters(filters=[MetadataFilter(key="team", value=team)]) if team else None
        query = VectorStoreQuery(query_embedding=vector, similarity_top_k=LIMIT, filters=filters)
        return list(self._store.query(query).ids or ())


class Haystack:
    """docs.haystack.deepset.ai, PgvectorDocumentStore with `search_strategy="hnsw"`: the index made with the table."""

    def __init__(self, dsn: str) -> None:
        from haystack.utils import Secret
        from haystack_integrations.components.retrievers.pgvector import PgvectorEmbeddingRetriever
        from haystack_integrations.document_stores.pgvector import PgvectorDocumentStore

        self._store = PgvectorDocumentStore(
            connection_string=Secret.from_token(dsn),
            embedding_dimension=384,
            vector_function="cosine_similarity",
            recreate_table=True,
            search_strategy="hnsw",
        )
        self._retriever = PgvectorEmbeddingRetriever(document_store=self._store, top_k=LIMIT)

    def write(self, rows: Sequence[Row]) -> None:
        from haystack import Document

        self._store.write_documents(
            [Document(id=key, content=text, embedding=vector, meta={"team": team}) for key, text, vector, team in rows]
        )

    def finish(self) -> None:
        """The index is there already."""

    def search(self, vector: list[float], team: str | None) -> list[str]:
        filters = {"field": "meta.team", "operator": "==", "value": team} if team else None
        return [document.id for document in self._retriever.run(query_embedding=vector, filters=filters)["documents"]]


STORES: dict[str, Callable[[str], RivalStore]] = {
    "langchain-postgres": LangChain,
    "llama-index": LlamaIndex,
    "haystack": Haystack,
}


def main(name: str, dsn: str, data: str) -> None:
    """Writes everything, then asks everything, with and without the filter."""
    with np.load(data) as arrays:
        rows = [
            (str(at), str(text), vector.tolist(), str(team))
            for at, (text, vector, team) in enumerate(
                zip(arrays["texts"], arrays["vectors"], arrays["teams"], strict=True)
            )
        ]
        questions = arrays["questions"].tolist()
    store = STORES[name](dsn)
    begun = time.perf_counter()
    for first in range(0, len(rows), _BATCH):
        store.write(rows[first : first + _BATCH])
    store.finish()
    report: dict[str, Any] = {"seconds": time.perf_counter() - begun}
    for label, team in (("filtered", rows[0][3]), ("everything", None)):
        report[label] = _asked(store, questions, team)
    json.dump(report, sys.stdout)


def _asked(store: RivalStore, questions: Sequence[list[float]], team: str | None) -> dict[str, Any]:
    found, milliseconds = [], []
    store.search(questions[0], team)
    for question in questions:
        begun = time.perf_counter()
        found.append([int(key) for key in store.search(question, team)])
        milliseconds.append((time.perf_counter() - begun) * 1000)
    return {"found": found, "milliseconds": milliseconds}


if __name__ == "__main__":
    main(*sys.argv[1:])
