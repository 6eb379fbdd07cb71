"""What Postgres makes of codes, paths and quotes, and whether what people type is found in what stands there."""

from collections.abc import Iterator

import psycopg
import pytest

from tests.conftest import new_database

Connection = psycopg.Connection[tuple[object, ...]]


@pytest.fixture(scope="module")
def connection(server: str) -> Iterator[Connection]:
    for dsn in new_database(server):
        with psycopg.connect(dsn, autocommit=True) as opened:
            yield opened


def keys(connection: Connection, language: str, text: str) -> set[object]:
    rows = connection.execute("SELECT term_key FROM pincite_terms('acme', %s, %s)", [language, text]).fetchall()
    return {row[0] for row in rows}


FOUND_WHOLE = (
    ("ERR-4012", "The pump stopped with (ERR-4012)."),
    ("err-4012", "**ERR-4012:** low pressure"),
    ("err4012", "Log line ERR4012: low pressure"),
    ("ERR_4012", "constant ERR_4012 means low pressure"),
    ("v2.14.1", "Fixed in v2.14.1, released in May"),
    ("2.14.1", "Upgrade to 2.14.1."),
    ("X-100/B", "Order part X-100/B today"),
    ("foo_bar.baz()", "Call `foo_bar.baz()` once"),
    ("ada@example.com", "Write to <ada@example.com>."),
    ("/etc/pincite/config.yaml", "Edit /etc/pincite/config.yaml first"),
    ("https://docs.example.com/a/b", "See https://docs.example.com/a/b for more"),
    ("2024-05-01", "Valid from 2024-05-01 on"),
    ("Q3/2024", "Results of Q3/2024"),
    ("INC-2025-004", "see INC-2025-004."),
    ("10.0.0.1:8080", "listens on 10.0.0.1:8080"),
    ("--dry-run", "use the flag `--dry-run`"),
    ("PINCITE_LLM_MODEL", "set $PINCITE_LLM_MODEL"),
)
FOUND_BY_PARTS = (
    ("4012", "ERR-4012"),
    ("4012", "ERR4012"),
    ("ERR-4012", "err4012"),
    ("ERR 4012", "ERR-4012"),
    ("2.14.1", "v2.14.1"),
    ("X-100", "X-100/B"),
    ("100", "X-100/B"),
    ("baz", "foo_bar.baz()"),
    ("foo_bar", "foo_bar.baz()"),
    ("node", "node.js"),
    ("example.com", "ada@example.com"),
    ("config.yaml", "/etc/pincite/config.yaml"),
    ("pincite", "/etc/pincite/config.yaml"),
    ("docs.example.com", "https://docs.example.com/a/b"),
    ("2024", "Q3-2024"),
    ("Q3 2024", "Q3/2024"),
    ("2024-05", "2024-05-01"),
    ("004", "INC-2025-004"),
    ("20 mA", "4-20 mA"),
    ("40", "-40 °C"),
    ("IEC 27001", "ISO/IEC 27001"),
    ("validator", "<validator>"),
    ("known", "well-known"),
    ("stopped", "the pump.Stopped again"),
)


@pytest.mark.parametrize("language", ["en", "de", "simple"])
@pytest.mark.parametrize(("typed", "text"), FOUND_WHOLE)
def test_a_code_is_found_as_it_stands(connection: Connection, language: str, typed: str, text: str) -> None:
    """Whatever surrounds a code in a text, all that a question with the same code asks for is there."""
    asked = keys(connection, language, typed)
    assert asked
    assert asked <= keys(connection, language, text)


@pytest.mark.parametrize("language", ["en", "de", "simple"])
@pytest.mark.parametrize(("typed", "text"), FOUND_BY_PARTS)
def test_a_code_is_found_by_its_parts(connection: Connection, language: str, typed: str, text: str) -> None:
    """A part of a code, or the code joined another way, has a word in common with the code as it stands."""
    assert keys(connection, language, typed) & keys(connection, language, text)


@pytest.mark.parametrize(
    ("one", "other"),
    [("ERR-4012", "ERR-4013"), ("2.14.1", "2.14.2"), ("X-100/B", "X-100/C"), ("1.5", "1.6"), ("H2O", "CO2")],
)
def test_codes_that_differ_are_told_apart(connection: Connection, one: str, other: str) -> None:
    """Being found by parts does not make two codes one: each has a word that the other lacks."""
    assert keys(connection, "en", one) - keys(connection, "en", other)


def test_a_plain_word_is_counted_once(connection: Connection) -> None:
    """Reading a text twice for its parts does not count its words twice."""
    rows = connection.execute("SELECT frequency FROM pincite_terms('acme', 'en', 'pump and pump and valve')").fetchall()
    assert sorted(rows) == [(1,), (2,)]


@pytest.mark.parametrize("text", ["", "the of and", "🙂🙂", "'; DROP TABLE chunks; --", "<><>", "\\", "%s {}", "-"])
def test_nothing_in_a_text_is_an_error(connection: Connection, text: str) -> None:
    """Emoji, SQL, markup and lone punctuation are read like any text; they may hold no word at all."""
    assert len(keys(connection, "en", text)) <= 3
