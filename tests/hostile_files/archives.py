"""Hostile archives: what Word, PowerPoint, Excel, LibreOffice and e-books come in."""

import stat
import struct
import zipfile
from collections.abc import Callable, Mapping
from functools import partial
from io import BytesIO

from tests.hostile_files.hostile import READABLE, Hostile

_RELATIONSHIPS = "http://schemas.openxmlformats.org/package/2006/relationships"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_SHEETS = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
_OPEN = " ".join(f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in ("text", "table"))
_WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
LAUGHS = '<!DOCTYPE a [<!ENTITY a0 "ha">' + "".join(f'<!ENTITY a{n + 1} "{f"&a{n};" * 10}">' for n in range(10)) + "]>"
_MAIN = {
    ".docx": "word/document.xml",
    ".pptx": "ppt/presentation.xml",
    ".xlsx": "xl/workbook.xml",
    ".odt": "content.xml",
    ".epub": "META-INF/container.xml",
}

Parts = Mapping[str, str | bytes]


def _zipped(parts: Parts) -> bytes:
    made = BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    return made.getvalue()


def _related(kind: str, target: str) -> str:
    return (
        f'<Relationships xmlns="{_RELATIONSHIPS}"><Relationship Id="r1" Type="{_OFFICE}/{kind}" Target="{target}"/>'
        "</Relationships>"
    )


def _word(body: str = "<w:p><w:r><w:t>Hello</w:t></w:r></w:p>", prologue: str = "") -> dict[str, str | bytes]:
    return {
        "[Content_Types].xml": "<Types/>",
        "_rels/.rels": _related("officeDocument", "word/document.xml"),
        "word/document.xml": f'{prologue}<w:document xmlns:w="{_WORD}"><w:body>{body}</w:body></w:document>',
    }


def _sheet(rows: str, *, shared: str = "", prologue: str = "") -> dict[str, str | bytes]:
    return {
        "_rels/.rels": _related("officeDocument", "xl/workbook.xml"),
        "xl/workbook.xml": f'{prologue}<workbook {_SHEETS} xmlns:r="{_OFFICE}"><sheets>'
        '<sheet name="S" sheetId="1" r:id="r1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": _related("worksheet", "worksheets/sheet1.xml"),
        "xl/worksheets/sheet1.xml": f"<worksheet {_SHEETS}><sheetData>{rows}</sheetData></worksheet>",
        "xl/sharedStrings.xml": f"<sst {_SHEETS}>{shared}</sst>",
    }


def _open(kind: str, body: str, prologue: str = "", manifest: str = "<m/>") -> dict[str, str | bytes]:
    office = "urn:oasis:names:tc:opendocument:xmlns:office:1.0"
    return {
        "content.xml": f'{prologue}<o:d xmlns:o="{office}" {_OPEN}><o:{kind}>{body}</o:{kind}></o:d>',
        "META-INF/manifest.xml": manifest,
    }


def _book(package: str = "p.opf", prologue: str = "", **more: str) -> dict[str, str | bytes]:
    return {
        "META-INF/container.xml": f'<c><rootfile full-path="{package}"/></c>',
        "p.opf": f'{prologue}<p><item id="a" href="a.xhtml" media-type="application/xhtml+xml"/>'
        '<item id="b" href="../../../etc/passwd" media-type="application/xhtml+xml"/>'
        '<spine><itemref idref="a"/></spine></p>',
        **{name.replace("__", "/").replace("_", "."): part for name, part in more.items()},
    }


def _with(extension: str, name: str, part: bytes) -> bytes:
    """An archive that has the part its format must have, and one more."""
    return _zipped({_MAIN[extension]: "<a/>", name: part})


def _linked() -> bytes:
    made = BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("word/document.xml", "<a/>")
        link = zipfile.ZipInfo("word/media/x.xml")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    return made.getvalue()


def _patched(content: bytes, field: int, value: int, form: str) -> bytes:
    """A field of the first entry in the archive's directory, overwritten."""
    changed = bytearray(content)
    struct.pack_into(form, changed, content.index(b"PK\x01\x02") + field, value)
    return bytes(changed)


def _many_entries() -> bytes:
    return _zipped({"word/document.xml": "<a/>", **{f"{n}.bin": b"" for n in range(10_001)}})


def _repeated_name() -> bytes:
    once = _with(".docx", "word/documenu.xml", b"<b/>")
    return once.replace(b"word/documenu.xml", b"word/document.xml")


def _locked() -> bytes:
    return b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "EncryptedPackage".encode("utf-16-le")


def _damaged() -> bytes:
    content = bytearray(_zipped(_word("<w:p/>" * 50)))
    content[content.index(b"word/document.xml") + 30] ^= 0xFF
    return bytes(content)


def _made(build: Callable[[], Parts]) -> Callable[[], bytes]:
    return lambda: _zipped(build())


_ROW = '<table:table table:name="T"><table:table-row table:number-rows-repeated="{rows}">'
_CELL = '<table:table-cell table:number-columns-repeated="{columns}"><text:p>{text}</text:p></table:table-cell>'
_GRID = _ROW + _CELL + "</table:table-row></table:table>"
_SHOWN = "".join(f'<row r="{n}"><c r="A{n}" t="s"><v>0</v></c></row>' for n in range(1, 2001))
_FAR = '<row r="1"><c r="A1"><v>1</v></c></row><row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'
_CIPHER = "<e><CipherReference URI='a.xhtml'/></e>"

FILES = (
    *(Hostile("text under the wrong name", each, f"not_a_{each[1:]}", lambda: b"hello") for each in _MAIN),
    *(Hostile("another archive", each, f"not_a_{each[1:]}", lambda: _zipped({"x.xml": "<a/>"})) for each in _MAIN),
    *(Hostile("cut short", each, "corrupt", partial(lambda name: _with(name, "x", b"")[:-30], each)) for each in _MAIN),
    *(Hostile("bomb", each, "too_complex", partial(_with, each, "x.xml", bytes(30 * 2**20))) for each in _MAIN),
    *(Hostile("path out", each, "unsafe_archive", partial(_with, each, "../../x.xml", b"<a/>")) for each in _MAIN),
    *(Hostile("password", each, "encrypted", _locked) for each in (".docx", ".pptx", ".xlsx")),
    Hostile("bomb of zeros", ".docx", "too_complex", partial(_with, ".docx", "word/media/x.bin", bytes(201 * 2**20))),
    Hostile("nested archives", ".docx", "not_a_docx", lambda: _zipped({"1.zip": _zipped({"2.zip": b"PK"})})),
    Hostile("absolute path", ".docx", "unsafe_archive", partial(_with, ".docx", "/etc/passwd", b"")),
    Hostile("drive letter", ".xlsx", "unsafe_archive", partial(_with, ".xlsx", "C:/x", b"")),
    Hostile("link", ".docx", "unsafe_archive", _linked),
    Hostile("name twice", ".docx", "unsafe_archive", _repeated_name),
    Hostile("entries without end", ".docx", "too_complex", _many_entries),
    Hostile("encrypted entry", ".docx", "encrypted", lambda: _patched(_with(".docx", "x", b""), 8, 1, "<H")),
    Hostile("size that lies", ".docx", "corrupt", lambda: _patched(_zipped(_word()), 24, 3, "<I")),
    Hostile("damaged part", ".docx", "corrupt", _damaged),
    Hostile("laughs", ".docx", "xml_entities", _made(lambda: _word("&a9;", LAUGHS))),
    Hostile("laughs in 16 bits", ".docx", "xml_entities",
            lambda: _zipped({**_word(), "word/document.xml": f"{LAUGHS}<a>&a9;</a>".encode("utf-16")})),
    Hostile("laughs", ".xlsx", "xml_entities", _made(lambda: _sheet("", prologue=LAUGHS))),
    Hostile("laughs", ".pptx", "xml_entities", lambda: _with(".pptx", "ppt/slides/x.xml", f"{LAUGHS}<a/>".encode())),
    Hostile("laughs", ".odt", "xml_entities", _made(lambda: _open("text", "<text:p>&a9;</text:p>", LAUGHS))),
    Hostile("laughs", ".epub", "xml_entities", _made(lambda: _book(prologue=LAUGHS, a_xhtml="x"))),
    Hostile("open element", ".docx", "corrupt", _made(lambda: _word("<open>"))),
    Hostile("open element", ".odt", "corrupt", _made(lambda: _open("text", "<open>"))),
    Hostile("open element", ".xlsx", "corrupt", _made(lambda: _sheet("<row><c"))),
    Hostile("no relationships", ".pptx", "corrupt", partial(_with, ".pptx", "x.xml", b"<a/>")),
    Hostile("depth", ".docx", "too_complex", _made(lambda: _word("<w:p>" * 3000 + "</w:p>" * 3000))),
    Hostile("depth", ".odt", "too_complex", _made(lambda: _open("text", "<text:p>" * 3000 + "</text:p>" * 3000))),
    Hostile("no text", ".docx", "empty", _made(lambda: _word(""))),
    Hostile("no cells", ".xlsx", "empty", _made(lambda: _sheet(""))),
    Hostile("cells far apart", ".xlsx", "too_complex", _made(lambda: _sheet(_FAR))),
    Hostile("column beyond all", ".xlsx", "too_complex",
            _made(lambda: _sheet('<row r="1"><c r="ZZZZZZZ1"><v>1</v></c></row>'))),
    Hostile("one text in each cell", ".xlsx", "too_complex",
            _made(lambda: _sheet(_SHOWN, shared=f"<si><t>{'x' * 300_000}</t></si>"))),
    Hostile("rows without end", ".ods", "too_large",
            _made(lambda: _open("spreadsheet", _GRID.format(rows=10**9 - 1, columns=1, text="x" * 99)))),
    Hostile("columns without end", ".ods", "too_complex",
            _made(lambda: _open("spreadsheet", _GRID.format(rows=1, columns=10**9 - 1, text="x")))),
    Hostile("a text as a sheet", ".ods", "not_a_ods", _made(lambda: _open("text", "<text:p>x</text:p>"))),
    Hostile("password", ".odt", "encrypted", _made(lambda: _open("text", "", manifest="<m><encryption-data/></m>"))),
    Hostile("chapter missing", ".epub", "corrupt", _made(_book)),
    Hostile("package outside", ".epub", "corrupt", _made(lambda: _book("../../../etc/passwd", a_xhtml="x"))),
    Hostile("rights", ".epub", "encrypted", _made(lambda: _book(a_xhtml="x", **{"META-INF__encryption_xml": _CIPHER}))),
    Hostile("formula", ".xlsx", READABLE,
            _made(lambda: _sheet('<row r="1"><c r="A1"><f>HYPERLINK("http://x.example")</f><v>7</v></c></row>'))),
)  # fmt: skip
