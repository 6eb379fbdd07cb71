"""Ways to damage a sound index past all rules, and which of the doctor's findings each makes."""

from dataclasses import dataclass

import psycopg

from retrieval.access import tenant_id
from retrieval.search.planning import vector_index_name

_GONE = "5b0d2c2e-0f6c-4b39-9d2c-6a1f6f6f3c11"
"""A document that is not there, or an answer."""
_INDEX = vector_index_name(tenant_id("acme"))
_HNSW = "CREATE INDEX :index ON embeddings USING hnsw ((embedding::halfvec(64)) halfvec_ip_ops) "
_KEPT = "INSERT INTO kept_answers SELECT 'acme', ':gone', ':gone', '', '', :state, now(), now(), now() + :life;"


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """What is done, what is found then, and whether it is done to both tenants."""

    statements: str
    codes: frozenset[str]
    everywhere: bool = False


def _damage(statements: str, *codes: str, everywhere: bool = False) -> Damage:
    return Damage(statements=statements, codes=frozenset(codes), everywhere=everywhere)


def _kept(state: str, life: str, more: str = "") -> str:
    return _KEPT.replace(":state", f"'{state}'").replace(":life", f"'{life}'::interval") + more


DAMAGES = {
    "orphan chunk": _damage(
        "INSERT INTO chunks SELECT tenant_id, ':gone', ordinal, heading_path, sections, context, text, char_start,"
        " char_end, first_page, last_page, page_starts, token_count FROM chunks WHERE tenant_id = 'acme' LIMIT 1",
        "orphan_rows",
        "missing_words",
        "missing_embeddings",
    ),
    "orphan grant": _damage("INSERT INTO grants VALUES ('acme', 'user:x', ':gone')", "orphan_rows"),
    "orphan words": _damage(
        "INSERT INTO chunk_terms VALUES ('acme', ':gone', 0, '{1}', '{1:1}/1000000000')",
        "orphan_rows",
        "wrong_term_statistics",
    ),
    "chunk count": _damage(
        "UPDATE cut_documents SET chunk_count = 9 WHERE document_id ="
        " (SELECT document_id FROM documents WHERE uri = 'a.md')",
        "chunk_counts",
        "wrong_language_statistics",
        "wrong_principal_statistics",
    ),
    "words lost": _damage("DELETE FROM chunk_terms WHERE ordinal = 1", "missing_words", "wrong_term_statistics"),
    "vectors lost": _damage("DELETE FROM embeddings WHERE ordinal = 0", "missing_embeddings", everywhere=True),
    "vectors of nothing": _damage(
        "UPDATE embeddings SET embedding = array_fill(0, ARRAY[64])::halfvec WHERE ordinal = 0",
        "damaged_embeddings",
        everywhere=True,
    ),
    "grant lost": _damage(
        "DELETE FROM grants WHERE principal = 'user:ada'", "wrong_grants", "wrong_principal_statistics"
    ),
    "grant too many": _damage(
        "INSERT INTO grants SELECT tenant_id, 'user:eve', document_id FROM documents WHERE uri = 'a.md'",
        "wrong_grants",
        "wrong_principal_statistics",
    ),
    "fields lost": _damage("DELETE FROM document_fields", "wrong_fields", "wrong_field_statistics", everywhere=True),
    "fields of before": _damage(
        """UPDATE document_fields SET fields = fields || '{"version": 7}'""", "wrong_fields", everywhere=True
    ),
    "languages": _damage(
        "UPDATE language_statistics SET chunk_count = 99", "wrong_language_statistics", everywhere=True
    ),
    "principals": _damage(
        "INSERT INTO principal_statistics VALUES ('acme', 'user:old', 3)", "wrong_principal_statistics"
    ),
    "fields": _damage("UPDATE field_statistics SET document_count = document_count + 1", "wrong_field_statistics"),
    "words": _damage("DELETE FROM term_statistics", "wrong_term_statistics", everywhere=True),
    "kept answer": _damage(
        _kept("finished", "1 day", "INSERT INTO kept_sources VALUES ('acme', ':gone', ':gone', 1)"), "shown_but_gone"
    ),
    "cached answer": _damage(
        "INSERT INTO cached_answers VALUES ('acme', '', '', NULL, '{:gone}', '{}', now(), now() + '1 day'::interval)",
        "shown_but_gone",
    ),
    "withdrawn words": _damage(
        _kept("withdrawn", "1 day", "INSERT INTO kept_events VALUES ('acme', ':gone', 1, '[]')"), "withdrawn_words"
    ),
    "expired": _damage(_kept("finished", "-2 days"), "expired"),
    "index lost": _damage("DROP INDEX :index", "vector_index_missing"),
    "index ruined": _damage(
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = ':index'::regclass", "vector_index_invalid"
    ),
    "index of another make": _damage(
        f"DROP INDEX :index; {_HNSW} WITH (m = 4) WHERE tenant_id = 'acme'", "vector_index_wrong"
    ),
    "index of another tenant": _damage(
        f"DROP INDEX :index; {_HNSW} WITH (m = 16, ef_construction = 200) WHERE tenant_id = 'beta'",
        "vector_index_wrong",
    ),
    "index of nobody": _damage(
        f"{_HNSW} WHERE tenant_id = 'gone'".replace(":index", "embeddings_hnsw_0"), "vector_index_of_nobody"
    ),
}


def damage(dsn: str, statements: str) -> None:
    """Does it, with foreign keys off."""
    written = statements.replace(":index", _INDEX).replace(":gone", _GONE)
    with psycopg.connect(dsn) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(written.encode())
