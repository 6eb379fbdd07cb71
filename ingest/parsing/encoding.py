"""From bytes to text that Postgres can store."""

import codecs
import re

from charset_normalizer import from_bytes

from retrieval.errors import UnreadableDocument

# UTF-32 before UTF-16: the little-endian mark of the one begins with that of the other.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_DECLARED = re.compile(rb"""(?:charset|encoding)\s*=\s*(?:["']\s*)?([A-Za-z0-9_.:-]+)""", re.IGNORECASE)
_DECLARATION_WITHIN = 2048  # bytes: browsers look at the first 1024
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\v\f\r\b\x1b"))
_BINARY_SHARE = 0.01
_LONE_CONTROLS = 2
_WESTERN = frozenset("äöüßÄÖÜéèêëàâáçôóòîïíìûúùñãõåæøœÉÈÀÇÑÅÆØŒ€„“”‘’‚–—…•·°§©®™²³¹µ«»±×½¼¾¿¡£ªº\xa0\xad")
_BROKEN_SHARE = 0.1


def storable(text: str) -> str:
    """The text with `\\n` for every newline, and U+FFFD for what Postgres refuses (NUL, lone surrogates)."""
    return _UNSTORABLE.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))


def decode(content: bytes, *, declared: bool = False) -> str:
    """The text of a file in whatever encoding, without its byte order mark; storable.

    `declared`: the text may name its encoding, as HTML and XML do. Raises `UnreadableDocument` (`binary`).
    """
    return storable(_decoded(content, declared))


def _decoded(content: bytes, declared: bool) -> str:
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return content[len(mark) :].decode(encoding, errors="replace")
    wide = _unmarked_utf16(content)
    if wide is not None:
        return wide
    _refuse_binary(content)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return _declared_text(content, declared) or _mended_utf8(content) or _legacy_text(content)


def _unmarked_utf16(content: bytes) -> str | None:
    """Western text in UTF-16 has a NUL as every other byte; the sides tell its byte order."""
    head = content[:4096]
    if len(head) < 4 or len(content) % 2:
        return None
    even, odd = (head[side::2].count(0) * 2 / len(head) for side in (0, 1))
    if max(even, odd) < 0.7 or min(even, odd) > 0.1:
        return None
    try:
        return content.decode("utf-16-le" if odd > even else "utf-16-be")
    except UnicodeDecodeError:
        return None


def _refuse_binary(content: bytes) -> None:
    controls = len(content) - len(content.translate(None, _CONTROLS))
    if controls > max(_LONE_CONTROLS, len(content) * _BINARY_SHARE):
        raise UnreadableDocument("binary", "the file is not text")


def _declared_text(content: bytes, declared: bool) -> str | None:
    found = _DECLARED.search(content[:_DECLARATION_WITHIN]) if declared else None
    if found is None:
        return None
    try:
        name = codecs.lookup(found[1].decode("ascii")).name
        # As browsers do: pages that say Latin-1 mean its superset.
        return content.decode("cp1252" if name in {"iso8859-1", "ascii"} else name)
    except (LookupError, ValueError):
        return None


def _mended_utf8(content: bytes) -> str | None:
    """One bad byte in a UTF-8 file must not turn all its umlauts into mojibake."""
    text = content.decode("utf-8", errors="replace")
    good = sum(len(run) for run in re.findall("[^\x00-\x7f\ufffd]+", text))
    return text if text.count("\ufffd") <= good * _BROKEN_SHARE else None


def _legacy_text(content: bytes) -> str:
    western = _western_text(content)
    if western is not None:
        return western
    guess = from_bytes(content).best()
    if guess is None:
        return content.decode("cp1252", errors="replace")
    return str(guess)


def _western_text(content: bytes) -> str | None:
    """Short Western texts give a statistical guess too little; their few accented letters say enough."""
    try:
        text = content.decode("cp1252")
    except UnicodeDecodeError:
        return None
    foreign = re.sub("[\x00-\x7f]+", "", text)
    letters = sum(map(str.isalpha, text))
    plausible = sum(character in _WESTERN for character in foreign) >= 0.95 * len(foreign)
    return text if plausible and len(foreign) <= max(2, 0.25 * letters) else None
