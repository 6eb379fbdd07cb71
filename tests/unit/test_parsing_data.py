"""Tables, trees, mails, books and code: each part of the text says what it belongs to."""

import zipfile
from email.message import EmailMessage
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.chunking.pieces import pieces_of
from ingest.parsing import parse_file
from ingest.parsing.keyed import Members, write_keyed
from ingest.parsing.writing import Writing
from retrieval.errors import UnreadableDocument
from tests.unit.test_parsing_formats import blocks_of, headings_of, make_docx, parse

TABLE = "| name | größe |\n| --- | --- |\n| Ada, B. | 1\\|2 |\n| x |  | y |"
ROWS = 'name{0}größe\n"Ada, B."{0}1|2\n\n{0}\nx{0}{0}y\n'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize(("name", "delimiter"), [("a.csv", ","), ("a.csv", ";"), ("a.csv", "\t"), ("a.tsv", "\t")])
def test_rows_become_a_table_under_their_header(name: str, delimiter: str, encoding: str) -> None:
    """Whatever delimits and encodes it, a table of text is a Markdown table; empty rows are no rows."""
    content = ROWS.format(delimiter).replace("\n", "\r\n")
    assert parse(name, content.encode(encoding)).text == TABLE


def test_a_row_with_line_breaks_in_its_cells_is_one_row() -> None:
    """Line breaks in a quoted cell do not end the row."""
    assert parse("a.csv", 'a,b\n"1\n2","say ""hi"""\n').text == '| a | b |\n| --- | --- |\n| 1 2 | say "hi" |'


def test_a_csv_of_one_column_is_a_list_under_its_name() -> None:
    """A file of lines has one column, whatever its lines hold."""
    assert parse("a.csv", "name\nAda\nBob\n").text == "| name |\n| --- |\n| Ada |\n| Bob |"


def test_json_says_where_each_value_stands() -> None:
    """Values carry their paths; numbers stay as written, names that repeat are all kept, rows are tables."""
    document = parse(
        "a.json",
        '{"name": "x", "n": 1.10, "big": 12345678901234567890123, "no": NaN, "n": null, "tags": ["a", "b"],'
        ' "odd key": {"deep": [{"v": true}, [1]]},'
        ' "rows": [{"id": 1, "label": "one"}, {"id": 2}, {"id": 3, "label": "|"}]}',
    )
    assert document.text == (
        "- name: x\n- n: 1.10\n- big: 12345678901234567890123\n- no: NaN\n- n: null\n- tags: a, b\n"
        '- ["odd key"].deep[0].v: true\n- ["odd key"].deep[1]: 1\n\n'
        "# rows\n\n| id | label |\n| --- | --- |\n| 1 | one |\n| 2 |\n| 3 | \\| |"
    )


def test_large_parts_of_a_tree_are_under_their_path() -> None:
    """What does not fit in one block gets a heading, and long texts are paragraphs."""
    servers = ",".join(f'"s{n}": {{"host": "h{n}", "ports": [1, 2]}}' for n in range(9))
    document = parse("a.json", f'{{"servers": {{{servers}}}, "note": "{"word " * 60}"}}')
    assert headings_of(document) == [(1, "# servers")]
    assert "- servers.s8.host: h8" in document.text
    assert blocks_of(document)[-1] == ("paragraph", f"note: {'word ' * 60}".strip())


def test_json_lines_are_records() -> None:
    """Lines of equal names are a table, others say which they are; a bad line is named."""
    assert parse("a.jsonl", '{"a": 1, "b": 2}\n\n{"a": 3, "b": "\u2028"}\n').text.startswith("| a | b |\n| --- | --- |")
    assert parse("a.ndjson", '{"a": {"x": 1}}\n[2]\n').text == "- [0].a.x: 1\n- [1]: 2"
    with pytest.raises(Exception, match="line 2 column 2"):
        parse("a.jsonl", '{"a": 1}\n{a\n')


def test_xml_is_read_by_its_elements() -> None:
    """Elements and attributes are names, what mixes text and elements is a text, comments are nothing."""
    document = parse(
        "a.xml",
        '<?xml version="1.0"?><!DOCTYPE pump><pump id="7" xmlns:x="urn:x"><!-- no --><x:note>Keep <b>cold</b>.</x:note>'
        '<seal size="3">Viton</seal><empty/><part><n>a</n><q>1</q></part><part><n>b</n><q>2</q></part></pump>',
    )
    assert document.text == (
        "- pump.id: 7\n- pump.note: Keep cold.\n- pump.seal.size: 3\n- pump.seal.text: Viton\n"
        "- pump.part[0].n: a\n- pump.part[0].q: 1\n- pump.part[1].n: b\n- pump.part[1].q: 2"
    )


def make_mail() -> bytes:
    message = EmailMessage()
    message["Subject"] = "Pümpe"
    message["From"] = "Ada <ada@x.example>"
    message.set_content("Hello Bob.\n\nIt leaks.")
    message.add_alternative("<p>HTML</p>", subtype="html")
    message.add_attachment(make_docx(), maintype="application", subtype="x", filename="card.docx")
    message.add_attachment(b"\x89PNG", maintype="image", subtype="png", filename="../logo.png")
    message.add_attachment(b"", maintype="application", subtype="x", filename="nothing.txt")
    return message.as_bytes()


def test_a_mail_is_its_headers_its_text_and_its_attachments() -> None:
    """The plain text is preferred; attachments are read under their names, or named with the reason."""
    document = parse("a.eml", make_mail())
    assert document.title == "Pümpe"
    assert document.text.startswith("# Pümpe\n\nFrom: Ada <ada@x.example>\n\nHello Bob.\n\nIt leaks.\n\n## Attachment:")
    assert headings_of(document) == [(1, "# Pümpe"), (2, "## Attachment: card.docx"), (4, "## Setpoints")]
    assert document.text.endswith("Attachment: ../logo.png, 4 bytes, not read (unsupported_format)\n\n"
                                  "Attachment: nothing.txt, 0 bytes, not read (empty)")  # fmt: skip


def test_attached_messages_are_read_three_deep() -> None:
    """A message in a message in a message is read; deeper ones are named."""
    message = EmailMessage()
    message["Subject"] = "0"
    message.set_content("innermost")
    for depth in range(1, 6):
        outer = EmailMessage()
        outer["Subject"] = str(depth)
        outer.set_content(f"text {depth}")
        outer.add_attachment(message)
        message = outer
    document = parse("a.eml", message.as_bytes())
    assert [text for _, text in headings_of(document)] == ["# 5", "## 4", "### 3", "#### 2"]
    assert document.text.endswith("Attached message: not read (too_complex)")


def test_html_mail_without_plain_text_is_read() -> None:
    """Where only HTML was sent, that is the text."""
    message = EmailMessage()
    message["Subject"] = "S"
    message.set_content("<h1>Big</h1><p>text</p>", subtype="html")
    assert parse("a.eml", message.as_bytes()).text == "# S\n\n# Big\n\ntext"


def make_epub(*chapters: str, extra: dict[str, str] | None = None) -> bytes:
    items = "".join(
        f'<item id="c{n}" href="c%20{n}.xhtml" media-type="application/xhtml+xml"/>' for n in range(len(chapters))
    )
    spine = "".join(f'<itemref idref="c{n}"/>' for n in reversed(range(len(chapters))))
    parts = {
        "META-INF/container.xml": '<c xmlns="urn:c"><rootfile full-path="OEBPS/p.opf"/></c>',
        "OEBPS/p.opf": f'<p xmlns:dc="urn:dc"><dc:title>Pumps</dc:title>{items}<spine>{spine}</spine></p>',
        **{f"OEBPS/c {n}.xhtml": chapter for n, chapter in enumerate(chapters)},
        **(extra or {}),
    }
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    return buffer.getvalue()


def test_a_book_is_read_in_the_order_of_its_spine() -> None:
    """Chapters follow one another as the book says, each under its heading or its title."""
    document = parse("a.epub", make_epub("<title>Two</title><p>b</p>", "<h1>One</h1><p>a</p>"))
    assert document.text == "# One\n\na\n\n# Two\n\nb"
    assert document.title == "Pumps"


def test_rich_text_is_paragraphs_and_tables() -> None:
    """Each paragraph of rich text is one, rows are tables, characters beyond 16 bits are whole."""
    content = (
        r"{\rtf1\ansi{\fonttbl{\f0 Arial;}}\f0 SETPOINTS\par Gr\'fc\'dfe \u-10179?\u-8704?\par"
        r"\trowd Class\cell Range\cell\row F1\cell -18\cell\row \pard end}"
    )
    document = parse("a.rtf", content)
    assert document.text == "SETPOINTS\n\nGrüße 😀\n\n| Class | Range |\n| --- | --- |\n| F1 | -18 |\n\nend"
    assert headings_of(document) == [(1, "SETPOINTS")]


SOURCES = {
    "a.py": (
        '"""Doc ü."""\n'
        "import x\n"
        "\n"
        "\n"
        "# why\n"
        "@dec\n"
        "class Pump(Base):\n"
        '    """P."""\n'
        "    a = 1\n"
        "\n"
        "    async def start(self,\n"
        "              b):\n"
        "        return b\n"
        "\n"
        "\n"
        "def stop(): pass\n"
    ),
    "a.ts": (
        "// doc\n"
        "export class A<T> extends B {\n"
        "  m(): void {}\n"
        "}\n"
        "export const f = async () => {\n"
        "  1;\n"
        "};\n"
        "interface I { a: string }\n"
        "namespace N { export function g() {} }\n"
    ),
    "a.java": (
        "package a;\n/** doc */\n@X public class A {\n  int b;\n  A() {}\n  @Override void f() {}\n  enum E { Z }\n}"
    ),
    "a.go": ("package x\n\n// doc\nfunc (p *Pump) Start(a int) error { return nil }\n\ntype Pump struct { a int }\n"),
    "a.rs": ("/// doc\n#[derive(Debug)]\npub struct P { a: i32 }\nimpl Foo for P { fn a(&self) -> i32 { 1 } }\n"),
    "a.cpp": (
        "#ifndef H\n"
        "#define H\n"
        "namespace a { class B : C { public: void f() { } int x; };\n"
        "template<class T> T g(T t) { return t; }\n"
        "int *B::h(int *x) { return x; } }\n"
        "#endif\n"
    ),
    "a.sh": ("set -eu\n# doc\nf() {\n  echo 1\n}\nfunction g { echo; }\nf\n"),
    "a.sql": ("-- doc\n\nCREATE TABLE pump (id int);\n\nselect 1;\n"),
    "a.yaml": ("# doc\nserver:\n  host: a\n\nclient: b\n"),
    "a.toml": ("x = 1\n\n[tool.ruff]\na = 1\n\n[[y]]\nb = 2\n"),
    "a.rb": ("def a\n  1\n\n  2\nend\n\nx\n"),
}
PATHS: dict[str, list[tuple[str, ...]]] = {
    "a.py": [("Pump",), ("Pump", "start"), ("stop",)],
    "a.ts": [("A",), ("A", "m"), ("f",), ("I",), ("N",), ("N", "g")],
    "a.java": [("A",), ("A", "A"), ("A", "f"), ("A", "E")],
    "a.go": [("Start",), ("Pump",)],
    "a.rs": [("P",), ("impl Foo for P",), ("impl Foo for P", "a")],
    "a.cpp": [("a",), ("a", "B"), ("a", "B", "f"), ("a", "g"), ("a", "B::h")],
    "a.sh": [("f",), ("g",)],
    "a.sql": [("CREATE TABLE pump",)],
    "a.yaml": [("server",), ("client",)],
    "a.toml": [("tool.ruff",), ("y",)],
    "a.rb": [],
}


@pytest.mark.parametrize("name", SOURCES)
def test_code_is_stored_as_written_under_its_definitions(name: str) -> None:
    """The text is the file's; what stands in a definition is found under its name, and nothing is lost."""
    source = SOURCES[name]
    document = parse(name, source)
    assert document.text == source
    paths = dict.fromkeys(piece.path for piece in pieces_of(document) if piece.path)
    assert list(paths) == PATHS[name]
    covered = 0
    for block in document.blocks:
        assert covered <= block.start < block.end
        assert document.text[block.start : block.end].strip()
        covered = block.end
    assert {kind for kind, _ in blocks_of(document)} <= {"heading", "code"}


def test_a_comment_above_belongs_to_its_definition() -> None:
    """What is said of a function before it begins is cut with it."""
    document = parse("a.py", SOURCES["a.py"])
    assert blocks_of(document)[1] == ("heading", "# why\n@dec\nclass Pump(Base):")
    assert document.blocks[1].name == "Pump"


@given(source=st.text(alphabet=st.sampled_from(list("ab(){}[];:=\n\t \"'#/*@.,<>üé😀\\defclass")), max_size=120))
@settings(max_examples=150, deadline=None)
def test_any_code_is_in_blocks_that_are_in_order(source: str) -> None:
    """However broken the syntax, blocks are in order, apart and not empty, and the text is the source."""
    for name in ("a.py", "a.ts", "a.cpp", "a.sh", "a.toml", "a.lua"):
        try:
            document = parse_file(Path(name), source.encode(), None)
        except UnreadableDocument as error:
            assert error.reason == "empty"  # noqa: PT017
            continue
        assert document.text == source
        covered = 0
        for block in document.blocks:
            assert covered <= block.start < block.end <= len(source)
            assert source[block.start : block.end].strip()
            covered = block.end


LEAVES = st.one_of(st.none(), st.booleans(), st.text(max_size=5))
NODES = st.recursive(
    LEAVES,
    lambda below: st.one_of(
        st.lists(below, max_size=4),
        st.lists(st.tuples(st.text(max_size=3), below), max_size=4).map(lambda pairs: Members(tuple(pairs))),
    ),
    max_leaves=25,
)


@given(node=NODES)
@settings(max_examples=150, deadline=None)
def test_any_tree_is_written_in_blocks_of_its_text(node: Members) -> None:
    """Whatever a tree holds, its blocks are where they say they are, and headings are single lines."""
    writing = Writing()
    write_keyed(writing, node)
    parsed = writing.parsed("")
    covered = 0
    for block in parsed.blocks:
        assert covered <= block.start < block.end <= len(parsed.text)
        assert block.kind != "heading" or "\n" not in parsed.text[block.start : block.end]
        covered = block.end
    assert covered == len(parsed.text)
