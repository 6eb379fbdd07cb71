"""Which language a text is stemmed in."""

import pytest

from ingest.languages import detect_language


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Who may lift hold code QH-7?", "en"),
        ("Wie viele Urlaubstage habe ich?", "de"),
        ("Bonjour tout le monde, ceci est un texte", "simple"),
        ("Привет, как дела, друзья мои", "simple"),
        ("ERR-4012", "simple"),
        ("", "simple"),
        ("1 2 3 | 4 5 6 " * 100, "simple"),
    ],
)
def test_language(text: str, language: str) -> None:
    """English and German are told; other languages, and texts too short to tell, are `simple`."""
    assert detect_language(text) == language
