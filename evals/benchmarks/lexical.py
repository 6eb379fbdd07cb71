"""The lexical leg against exact BM25 and against what others do: `python -m evals.benchmarks.lexical`.

Three ways to answer the same questions on the same server, each as the caller and under the same permissions: the
service's leg; every chunk that holds any of the words, scored by BM25; and the same with `ts_rank_cd` over a tsvector
column with a GIN index of its own.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import psycopg
import typer
from psycopg import sql

from evals.benchmarks.made_up_documents import made_up_documents
from evals.benchmarks.made_up_words import MadeUpWords
from evals.benchmarks.measuring import cpu_ms, markdown, open_bench, publish, server_pid
from ingest.indexing import tidy
from ingest.store import add_tenant, open_writer
from retrieval.access import EVERYONE, Caller, caller
from retrieval.database.generations import FIRST
from retrieval.database.statements import TenantStatement, tenant_statement
from retrieval.database.store import Store, open_store
from retrieval.search.legs import Hit, lexical_leg
from retrieval.search.terms import Term, question_terms
from retrieval.settings import SearchSettings

LIMIT = 10
_WHO = caller("bench", {EVERYONE})
_DOCUMENT_CHUNKS = 200
_TIE = 1e-6

_QUESTION_TERMS = tenant_statement("retrieval.search", "question_terms")
_ANY = tenant_statement("retrieval.search", "lexical_any")
_RANKED = TenantStatement(
    sql.SQL("""
SELECT words.document_id, words.ordinal, ts_rank_cd(words.words, asked.query)::float8 AS score
FROM chunk_words AS words
CROSS JOIN (SELECT replace(plainto_tsquery('english', %(question)s)::text, '&', '|')::tsquery AS query) AS asked
JOIN documents ON documents.tenant_id = words.tenant_id AND documents.document_id = words.document_id
WHERE words.tenant_id = %(tenant_id)s AND documents.acl && %(principals)s::text[] AND words.words @@ asked.query
ORDER BY score DESC, words.document_id, words.ordinal
LIMIT %(limit)s
""")
)

Way = Callable[[Store, Caller, str], Awaitable[Sequence[Hit]]]


async def _service(store: Store, who: Caller, question: str) -> Sequence[Hit]:
    return (await lexical_leg(store, who, question, SearchSettings())).hits[:LIMIT]


async def _exact(store: Store, who: Caller, question: str, limit: int = LIMIT) -> Sequence[Hit]:
    async with store.session(who) as session:
        terms = await question_terms(session, question)
        keys = [term.term_key for term in await session.rows(Term, _QUESTION_TERMS, question=question)]
        return await session.rows(Hit, _ANY, term_keys=keys, question_weights=terms.weights, limit=limit)


async def _ranked(store: Store, who: Caller, question: str) -> Sequence[Hit]:
    async with store.session(who) as session:
        return await session.rows(Hit, _RANKED, question=question, limit=LIMIT)


WAYS: dict[str, Way] = {"the service's leg": _service, "exact BM25": _exact, "OR + ts_rank_cd": _ranked}


def main(
    data_dir: Annotated[Path, typer.Option(help="Holds the made-up index; made when it is not there")],
    chunks: Annotated[int, typer.Option(min=1000)] = 300_000,
    questions: Annotated[int, typer.Option(min=1)] = 200,
    record: Annotated[bool, typer.Option(help="Puts the result into RESULTS.md")] = False,
) -> None:
    """Prints recall@10 of exact BM25 and the server's CPU time of each way."""
    bench = open_bench(data_dir)
    _load(bench.dsn, chunks)

    async def measure() -> dict[str, tuple[list[float], list[float]]]:
        async with open_store(bench.dsn, bench.settings) as store:
            return await _measure(store, MadeUpWords(chunks).questions(questions))

    found = asyncio.run(measure())
    floor = float(np.median(found["OR + ts_rank_cd"][1]))
    rows = [
        [
            name,
            f"{np.mean(recalls):.3f}",
            f"{np.median(cpu):.1f} ms",
            f"{np.percentile(cpu, 95):.1f} ms",
            f"1/{floor / float(np.median(cpu)):.1f}",
        ]
        for name, (recalls, cpu) in found.items()
    ]
    table = markdown(["way", "recall@10 of exact BM25", "cpu p50", "cpu p95", "of OR + ts_rank_cd"], rows)
    about = f"{chunks:,} made-up chunks of one tenant, {questions} questions of 2 to 12 words (`made_up_words.py`)."
    publish("lexical", "The search by words against exact BM25 and ts_rank_cd", f"{about}\n\n{table}", record=record)


def _load(dsn: str, chunks: int) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        if connection.execute("SELECT to_regclass('chunk_words')").fetchone() != (None,):
            return
        connection.execute("INSERT INTO generations VALUES (1, 'made-up', 8) ON CONFLICT DO NOTHING")
        add_tenant(dsn, _WHO.tenant)
        with open_writer(dsn, _WHO.tenant) as writer:
            for made in made_up_documents(chunks, _DOCUMENT_CHUNKS, 8):
                writer.replace([made], FIRST)
        connection.execute(
            "CREATE TABLE chunk_words AS SELECT tenant_id, document_id, ordinal, to_tsvector('english', text) AS words"
            " FROM chunks"
        )
        connection.execute("CREATE INDEX ON chunk_words USING gin (words)")
        connection.execute("GRANT SELECT ON chunk_words TO pincite_app")
        connection.execute("VACUUM ANALYZE chunk_words")
    tidy(dsn)


async def _measure(store: Store, questions: Sequence[str]) -> dict[str, tuple[list[float], list[float]]]:
    pid = await server_pid(store)
    found: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in WAYS}
    for question in questions:
        best = await _exact(store, _WHO, question, limit=10 * LIMIT)
        wanted = min(LIMIT, len(best))
        right = {hit.key for hit in best if hit.score >= best[wanted - 1].score - _TIE} if best else set()
        for name, way in WAYS.items():
            begun = cpu_ms(pid)
            hits = await way(store, _WHO, question)
            found[name][1].append(cpu_ms(pid) - begun)
            found[name][0].append(sum(hit.key in right for hit in hits) / wanted if wanted else 1.0)
    return found


if __name__ == "__main__":
    typer.run(main)
