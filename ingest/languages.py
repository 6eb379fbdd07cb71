"""Which language a text is written in, as far as its words are stemmed by it."""

from functools import cache

from py3langid.langid import MODEL_FILE, LanguageIdentifier

DETECTABLE = ("en", "de")
UNKNOWN = "simple"
LANGUAGES = (*DETECTABLE, UNKNOWN)

# Languages documents are likely to be in. All 140 of the model would take short German for Luxembourgish.
_LIKELY = (
    *DETECTABLE,
    *("ar", "cs", "da", "el", "es", "fi", "fr", "he", "hi", "hu", "it", "ja", "ko"),
    *("nl", "no", "pl", "pt", "ro", "ru", "sv", "tr", "uk", "vi", "zh"),
)
_LEAST_LETTERS = 12
_LEAST_SHARE = 0.4
_SAMPLE = 4000  # characters from the start, and as many from the middle


def detect_language(text: str) -> str:
    """`en` or `de`, or `simple` for every other language and for texts too short to tell."""
    middle = max(_SAMPLE, len(text) // 2)
    sample = text[:_SAMPLE] + text[middle : middle + _SAMPLE]
    if sum(map(str.isalpha, sample)) < _LEAST_LETTERS:
        return UNKNOWN
    language, share = _identifier().classify(sample)
    return str(language) if language in DETECTABLE and share >= _LEAST_SHARE else UNKNOWN


@cache
def _identifier() -> LanguageIdentifier:
    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages(_LIKELY)
    return identifier
