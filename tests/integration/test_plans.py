"""The plans that the searches rest on, as the app's role, on enough rows for the planner to care."""

import re
from collections.abc import AsyncIterator

import numpy as np
import psycopg
import pytest
from pgvector import HalfVector
from psycopg import sql

from ingest.indexing import build_vector_index, tidy
from retrieval.access import caller
from retrieval.database.generations import Generation
from retrieval.database.plans import QueryPlan
from retrieval.database.statements import TenantStatement, tenant_statement
from retrieval.database.store import Store, open_store
from retrieval.filters import AllOf, OneOf, Within
from retrieval.search.legs import Hit
from retrieval.search.narrowing import ANYTHING, Narrowing, compiled
from retrieval.search.planning import vector_index_name
from tests.conftest import new_database, on_database

LOT = compiled(Within(field="metadata.lot", lt=500))
LOT_AND_PAGE = compiled(AllOf(parts=(Within(field="metadata.lot", lt=500), OneOf(field="page", values=(1,)))))
BIG = caller("big", ["group:a"])
FILL = """
    INSERT INTO tenants (tenant_id) VALUES ('big'), ('small');
    INSERT INTO documents (tenant_id, document_id, uri, title, acl, metadata, language, content_type, content,
                           page_starts, fingerprint, version, updated_at)
    SELECT CASE WHEN n % 5 = 0 THEN 'small' ELSE 'big' END, md5('d' || n)::uuid, 'd/' || n, 't',
           ARRAY[CASE WHEN n % 2 = 0 THEN 'group:a' ELSE 'group:b' END], '{}', 'en', 'text/plain', 'x',
           '{}', '', 1, now()
    FROM generate_series(1, 1500) AS n;
    INSERT INTO document_fields (tenant_id, document_id, fields)
    SELECT tenant_id, document_id, jsonb_build_object('metadata.lot', (random() * 1000)::integer) FROM documents;
    INSERT INTO cut_documents SELECT tenant_id, document_id, 1, '', 10, '' FROM documents;
    INSERT INTO chunks (tenant_id, document_id, ordinal, heading_path, sections, context, text, char_start, char_end,
                        page_starts, token_count)
    SELECT tenant_id, document_id, n, '{}', '[]', '', 'x', 0, 1, '{}', 1
    FROM documents CROSS JOIN generate_series(0, 9) AS n;
    INSERT INTO embeddings (tenant_id, document_id, ordinal, embedding)
    SELECT tenant_id, document_id, ordinal,
           ARRAY(SELECT random() + 0 * ordinal FROM generate_series(1, 8))::real[]::vector::halfvec
    FROM chunks;
    INSERT INTO chunk_terms (tenant_id, document_id, ordinal, term_keys, weights)
    SELECT tenant_id, document_id, ordinal,
           ARRAY(SELECT (random() * 3000)::bigint + 0 * ordinal FROM generate_series(1, 30)), '{}/1000000000'
    FROM chunks;
    INSERT INTO language_statistics VALUES ('big', 'en', 12000), ('small', 'en', 3000)
"""


class _Plan:
    """A line of EXPLAIN's output, whose column has a space in its name."""

    def __init__(self, **columns: str) -> None:
        [self.line] = columns.values()


@pytest.fixture(scope="module")
async def store(server: str) -> AsyncIterator[Store]:
    """15,000 chunks of two tenants, analysed, with the vector index."""
    for dsn in new_database(server):
        with psycopg.connect(dsn, autocommit=True) as connection:
            for statement in FILL.split(";"):
                connection.execute(statement)
            connection.execute("ANALYZE")
        build_vector_index(dsn, BIG.tenant, Generation(embedder="random", dimensions=8), 0)
        tidy(dsn)
        async with open_store(dsn, on_database(dsn).database.model_copy(update={"database_pool_size": 1})) as opened:
            yield opened


async def plan(store: Store, statement: TenantStatement, **parameters: object) -> str:
    """The plan after the statement has run often enough on one connection to be prepared."""
    explained = TenantStatement(sql.Composed([sql.SQL("EXPLAIN "), statement.query]))
    parameters = ANYTHING.parameters | parameters
    lines: list[str] = []
    for _ in range(16):
        async with store.session(BIG) as session:
            rows = await session.rows(_Plan, explained, **parameters)
            lines = [row.line for row in rows]
    return "\n".join(lines)


@pytest.mark.parametrize("mode", ["any", "all"])
async def test_words_are_found_by_their_index(store: Store, mode: str) -> None:
    """The lexical leg uses the GIN index, row-level security and prepared statements notwithstanding."""
    found = await plan(
        store,
        tenant_statement("retrieval.search", f"lexical_{mode}"),
        term_keys=[17, 18],
        question_weights="{1:1}/1000000000",
        limit=50,
    )
    assert "Index Scan on chunk_terms_term_keys" in found


@pytest.mark.parametrize("narrowing", [ANYTHING, LOT, LOT_AND_PAGE])
async def test_neighbours_are_found_by_their_index(store: Store, narrowing: Narrowing) -> None:
    """The walk uses the HNSW index, also after a dozen runs, when Postgres would think of a generic plan."""
    question = np.ones(8, dtype=np.float32)
    found = await plan(
        store,
        tenant_statement("retrieval.search", "dense_ann").sized(8),
        embedding=HalfVector(question),
        limit=10,
        walked=200,
        expected=10,
        **narrowing.parameters,
    )
    assert vector_index_name(BIG.tenant) in found


async def test_what_a_walk_met_is_counted_before_permissions(store: Store) -> None:
    """An explanation's rows are those the walk brought, though every second one of them was not to be seen."""
    plans: list[QueryPlan] = []
    statement = tenant_statement("retrieval.search", "dense_ann").sized(8)
    embedding = HalfVector(np.ones(8, dtype=np.float32))
    async with store.examining(plans).session(BIG) as session:
        await session.set_local(hnsw__iterative_scan="relaxed_order")
        hits = await session.rows(
            Hit, statement, embedding=embedding, limit=100, walked=400, expected=100, **ANYTHING.parameters
        )
    [plan] = plans
    assert len(hits) == 100
    assert 400 <= plan.rows_read("embeddings") < 600
    assert plan.pages_read > plan.rows_read("embeddings")


async def test_what_a_walk_brings_is_all_sorted_again(store: Store) -> None:
    """A walk in relaxed order is not sorted, whatever the index promises; a sort that believes it ends it early."""
    found = await plan(
        store,
        tenant_statement("retrieval.search", "dense_ann").sized(8),
        embedding=HalfVector(np.ones(8, dtype=np.float32)),
        limit=10,
        walked=40,
        expected=10,
        **ANYTHING.parameters,
    )
    assert vector_index_name(BIG.tenant) in found
    assert "Incremental Sort" not in found


@pytest.mark.parametrize("name", ["dense_ann", "dense_exact", "lexical_any", "lexical_all"])
async def test_without_a_filter_nothing_is_read_for_one(store: Store, name: str) -> None:
    """The fields of documents, and where chunks stand, are read by filtered searches only."""
    statement = tenant_statement("retrieval.search", name)
    question = {"embedding": HalfVector(np.ones(8, dtype=np.float32)), "walked": 200, "expected": 10}
    words = {"term_keys": [17, 18], "question_weights": "{1:1}/1000000000"}
    for narrowing, read in (
        (ANYTHING, set()),
        (LOT, {"document_fields"}),
        (LOT_AND_PAGE, {"document_fields", "chunks"}),
    ):
        sized = statement.sized(8) if name.startswith("dense") else statement
        found = await plan(store, sized, **question, **words, limit=10, **narrowing.parameters)
        assert set(re.findall(r" on (document_fields|chunks) ", found)) == read
