"""Whatever the bytes are, parsing gives a document or one stable reason."""

import os
import random
import zipfile
from io import BytesIO
from pathlib import Path

import pytest
from fpdf import FPDF
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.parsing import SUPPORTED_EXTENSIONS, parse_file
from ingest.parsing.encoding import decode
from ingest.parsing.running_heads import without_running_heads
from retrieval.errors import UnreadableDocument

WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
RELATIONSHIPS = "http://schemas.openxmlformats.org/package/2006/relationships"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"


def reason_of(name: str, content: bytes) -> str:
    with pytest.raises(UnreadableDocument) as raised:
        parse_file(Path(name), content, None)
    return raised.value.reason


def package(body: str, *, prologue: str = "", extra: bytes = b"") -> bytes:
    """A Word document by hand."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr("[Content_Types].xml", "<Types/>")
        target.writestr(
            "_rels/.rels",
            f'<Relationships xmlns="{RELATIONSHIPS}"><Relationship Id="r" Type="{OFFICE}" Target="word/document.xml"/>'
            "</Relationships>",
        )
        main = f'{prologue}<w:document xmlns:w="{WORD}"><w:body>{body}</w:body></w:document>'
        target.writestr("word/document.xml", main)
        target.writestr("word/media/image.bin", extra)
    return buffer.getvalue()


def make_pdf(text: str = "Hello.", password: str | None = None) -> bytes:
    pdf = FPDF()
    pdf.add_page()
    pdf.set_font("Helvetica", size=11)
    pdf.multi_cell(0, 5, text)
    if password:
        pdf.set_encryption(owner_password="owner", user_password=password)  # noqa: S106
    return bytes(pdf.output())


PARAGRAPH = "<w:p><w:r><w:t>Hello</w:t></w:r></w:p>"
LOCKED = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "EncryptedPackage".encode("utf-16-le")


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.xyz", b"x", "unsupported_format"),
        ("README", b"x", "unsupported_format"),
        ("a.md", b"", "empty"),
        ("a.txt", b" \n\t ", "empty"),
        ("a.md", b"\xef\xbb\xbf\n", "empty"),
        ("a.html", b"<script>x</script><nav>y</nav>", "empty"),
        ("a.docx", package(""), "empty"),
        ("a.md", bytes(range(256)) * 4, "binary"),
        ("a.txt", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "binary"),
        ("a.html", b"PK\x03\x04" + bytes(40), "binary"),
        ("a.pdf", b"hello", "not_a_pdf"),
        ("a.pdf", make_pdf()[:300], "corrupt"),
        ("a.pdf", b"%PDF-1.7\n" + bytes(500) + b"%%EOF", "corrupt"),
        ("a.pdf", make_pdf(password="secret"), "encrypted"),  # noqa: S106
        ("a.pdf", make_pdf(""), "no_text"),
        ("a.docx", b"hello", "not_a_docx"),
        ("a.docx", package(PARAGRAPH)[:200], "corrupt"),
        ("a.docx", package("<open>"), "corrupt"),
        ("a.docx", LOCKED, "encrypted"),
        ("a.docx", package("&x;", prologue='<!DOCTYPE a [<!ENTITY x "boom">]>'), "xml_entities"),
        ("a.docx", package(PARAGRAPH, extra=bytes(201 * 2**20)), "too_complex"),
        ("a.docx", package("<w:p>" * 3000 + "</w:p>" * 3000), "too_complex"),
        ("a.html", b"<div>" * 2000 + b"x", "too_complex"),
    ],
    ids=lambda value: str(value)[:20] if isinstance(value, str) else "",
)
def test_reasons_are_stable(name: str, content: bytes, reason: str) -> None:
    """Each kind of unreadable file has its own reason."""
    assert reason_of(name, content) == reason


def test_a_zip_that_is_no_word_document() -> None:
    """A zip archive without a Word document in it is not a docx."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as target:
        target.writestr("other.xml", "<a/>")
    assert reason_of("a.docx", buffer.getvalue()) == "not_a_docx"


def test_a_small_packed_bomb() -> None:
    """A document that unpacks to a hundred times its size is refused before it is read."""
    assert reason_of("a.docx", package(PARAGRAPH * 600_000)) == "too_complex"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Tür", "cp1252"),
        ("Grüße aus München – „schön“ für 5 €", "cp1252"),
        ("Über den Wolken\n", "utf-16"),
        ("Hello world of text", "utf-16-le"),
        ("Hello world of text", "utf-16-be"),
        ("Größe 😀", "utf-8-sig"),
        ("Größe 😀", "utf-32"),
        ("Привет мир. Это русский текст, который достаточно длинный. " * 5, "cp1251"),
    ],
)
def test_encodings_are_found(text: str, encoding: str) -> None:
    """Text comes out right from its mark, as UTF-8, or as the likeliest legacy encoding."""
    assert decode(text.encode(encoding)) == text


def test_html_declares_its_encoding() -> None:
    """A page that is not UTF-8 is read as it declares; Latin-1 means Windows-1252, as in browsers."""
    assert decode('<meta charset="windows-1251">Мир'.encode("cp1251"), declared=True).endswith("Мир")
    assert decode('<meta charset="iso-8859-1">5 €'.encode("cp1252"), declared=True).endswith("5 €")
    assert decode('<meta charset="nonsense">ü'.encode("cp1252"), declared=True).endswith("ü")


def test_one_bad_byte_does_not_spoil_a_utf8_file() -> None:
    """A stray byte becomes one U+FFFD; the umlauts around it stay."""
    assert decode("Größe für alle. ".encode() * 9 + b"\xff") == "Größe für alle. " * 9 + "\ufffd"


def test_a_lone_nul_is_replaced() -> None:
    """NUL, which Postgres refuses, becomes U+FFFD."""
    assert parse_file(Path("a.md"), b"a\0b", None).text == "a\ufffdb"


def test_huge_single_line_and_deep_markdown_are_parsed() -> None:
    """Long lines and deep quotes are text like any other."""
    assert len(parse_file(Path("a.md"), b"word " * 200_000, None).blocks) == 1
    assert parse_file(Path("a.md"), b">" * 50_000 + b" x", None).text.endswith("x")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.md", f"# a{' ' * 1_000_000}b\n\ntext"),
        ("a.md", f"# {'[a](' * 250_000}\n\ntext"),
        ("a.md", "a\n\x0b" * 300_000 + "\n===\n\ntext"),
        ("a.md", f"---\ntitle: {'[' * 20_000}\n---\ntext"),
        ("a.md", f"---\n{'a: b' + chr(10)}" * 100_000),
        ("a.txt", f"A{' ' * 1_000_000}\t\nB"),
        ("a.txt", f"{'- ' * 500_000}\n{'1. ' * 300_000}"),
        ("a.html", f"<pre>a{' ' * 1_000_000}b</pre>"),
        ("a.html", f"<h1>a{' #' * 500_000} b</h1>x"),
    ],
    ids=lambda value: value[:12],
)
def test_hostile_runs_are_text(name: str, text: str) -> None:
    """A run of a million characters, wherever a pattern might begin in each of them, is read in one pass."""
    assert parse_file(Path(name), text.encode(), None).text.strip()


def test_front_matter_of_aliases_is_not_expanded() -> None:
    """Aliases of aliases in front matter, which would fill the memory, are not taken at their word."""
    aliases = "".join(f"a{n + 1}: &a{n + 1} {{<<: [*a{n}, *a{n}]}}\n" for n in range(60))
    document = parse_file(Path("a.md"), f"---\ntitle: Pumps\na0: &a0 {{b: c}}\n{aliases}---\ntext".encode(), None)
    assert document.title == "Pumps"


def test_numbers_in_a_line_without_end_are_not_page_numbers() -> None:
    """A line of numbers is kept, and is not remembered once for each of them."""
    assert without_running_heads([["1 " * 200_000, "text"]] * 2) == [[0, 1], [0, 1]]


@given(content=st.binary(max_size=400), extension=st.sampled_from(sorted(SUPPORTED_EXTENSIONS)))
@settings(max_examples=150, deadline=None)
def test_any_bytes_are_a_document_or_a_reason(content: bytes, extension: str) -> None:
    """No bytes raise anything but `UnreadableDocument`, and no document holds what Postgres refuses."""
    try:
        document = parse_file(Path("a" + extension), content, None)
    except UnreadableDocument:
        return
    document.text.encode("utf-8")
    assert "\x00" not in document.text + document.title


@given(text=st.text(alphabet=st.sampled_from(list("ab#*`-|> \n\r\t1.=~<&;[]:")), max_size=200))
@settings(max_examples=200, deadline=None)
def test_blocks_are_in_order_and_apart(text: str) -> None:
    """Blocks never overlap, never are empty, and lie inside the text, whatever the markup."""
    for name in ("a.md", "a.txt", "a.html"):
        try:
            document = parse_file(Path(name), text.encode(), None)
        except UnreadableDocument:
            continue
        covered = 0
        for block in document.blocks:
            assert covered <= block.start < block.end <= len(document.text)
            assert document.text[block.start : block.end].strip()
            covered = block.end


def test_damaged_pdfs_never_crash() -> None:
    """A PDF with any bytes changed parses or is refused."""
    content, chance = make_pdf("Hello world."), random.Random(7)  # noqa: S311
    for _ in range(60):
        damaged = bytearray(content)
        for _ in range(20):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        try:
            parse_file(Path("a.pdf"), bytes(damaged), None)
        except UnreadableDocument:
            continue
    assert reason_of("a.md", os.urandom(5000)) == "binary"
