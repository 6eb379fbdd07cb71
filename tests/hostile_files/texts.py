"""Hostile files that are no archives: texts, trees, messages, pictures, code."""

import base64
import json
import random
import struct
import zlib
from functools import partial
from io import BytesIO

from fpdf import FPDF
from PIL import Image

from tests.hostile_files.archives import LAUGHS
from tests.hostile_files.hostile import READABLE, Hostile

_BINARY = bytes(range(256)) * 8
_PROGRAM = b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xff\xff\0\0" + bytes(200)


def _pdf(text: str, password: str = "") -> bytes:
    pdf = FPDF()
    pdf.add_page()
    pdf.set_font("Helvetica", size=11)
    pdf.multi_cell(0, 5, text)
    if password:
        pdf.set_encryption(owner_password="owner", user_password=password)  # noqa: S106
    return bytes(pdf.output())


def _png(width: int, height: int) -> bytes:
    """The picture's size and nothing else."""
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)

    def part(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", head) + part(b"IDAT", zlib.compress(b"\0")) + part(b"IEND", b"")


def _picture_cut_short() -> bytes:
    made = BytesIO()
    Image.effect_noise((200, 200), 50).save(made, "PNG")
    return made.getvalue()[:5000]


def _tree(depth: int, inside: str) -> bytes:
    return f"<a>{'<b>' * depth}{inside}{'</b>' * depth}</a>".encode()


def _parts(count: int) -> bytes:
    part = "--b\nContent-Disposition: attachment; filename=a.txt\n\nx\n"
    return f"Subject: s\nContent-Type: multipart/mixed; boundary=b\n\n{part * count}--b--\n".encode()


def _multiparts(depth: int) -> bytes:
    body = "hi"
    for level in range(depth):
        body = f"Content-Type: multipart/mixed; boundary=b{level}\n\n--b{level}\n{body}\n--b{level}--\n"
    return f"Subject: s\n{body}".encode()


def _messages(depth: int) -> bytes:
    return b"Subject: s\nContent-Type: message/rfc822\n\n" * depth + b"Subject: s\n\nhi"


def _attached(name: str, content: bytes) -> bytes:
    encoded = base64.b64encode(content).decode()
    return (
        "Subject: s\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Transfer-Encoding: base64\n"
        f'Content-Disposition: attachment; filename="{name}"\n\n{encoded}\n--b--\n'
    ).encode()


def _noise(letters: str, length: int) -> bytes:
    return "".join(random.Random(7).choices(letters, k=length)).encode()  # noqa: S311


_EXTERNAL = b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>'
_PARAMETER = b'<!DOCTYPE a [<!ENTITY % x SYSTEM "http://127.0.0.1:9/x.dtd"> %x;]><a/>'
_BLOW_UP = f'<!DOCTYPE a [<!ENTITY x "{"x" * 50_000}">]><a>{"&x;" * 50_000}</a>'.encode()
_OUTSIDE = b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a>text</a>'
_INCLUDED = b'<a xmlns:i="http://www.w3.org/2001/XInclude"><i:include href="/etc/passwd" parse="text"/>text</a>'

FILES = (
    Hostile("nothing", ".md", "empty", lambda: b""),
    Hostile("only a mark", ".csv", "empty", lambda: b"\xef\xbb\xbf\n"),
    Hostile("only delimiters", ".csv", "empty", lambda: b",,,\n,,,\n"),
    Hostile("no extension", "", "unsupported_format", lambda: b"text"),
    Hostile("program", ".exe", "unsupported_format", lambda: _PROGRAM),
    Hostile("archive", ".zip", "unsupported_format", lambda: b"PK\x03\x04"),
    *(Hostile("binary", each, "binary", lambda: _BINARY) for each in (".md", ".txt", ".html", ".csv", ".json", ".py")),
    *(Hostile("program", f".{ext}", f"not_a_{ext}", lambda: _PROGRAM) for ext in ("pdf", "xls", "rtf", "xml", "eml")),
    Hostile("program", ".png", "not_an_image", lambda: _PROGRAM),
    Hostile("larger than allowed", ".txt", "too_large", lambda: b"word " * 700_000),
    Hostile("text longer than allowed", ".txt", "too_large", lambda: b"word " * 450_000),
    Hostile("one line", ".md", READABLE, lambda: b"word " * 200_000),
    Hostile("deep quotes", ".md", READABLE, lambda: b">" * 50_000 + b" x"),
    Hostile("a NUL", ".md", READABLE, lambda: b"a\0b"),
    Hostile("deep elements", ".html", "too_complex", lambda: b"<div>" * 5000 + b"x"),
    Hostile("cut short", ".pdf", "corrupt", lambda: _pdf("x")[:300]),
    Hostile("nothing behind the header", ".pdf", "corrupt", lambda: b"%PDF-1.7\n" + bytes(500) + b"%%EOF"),
    Hostile("password", ".pdf", "encrypted", lambda: _pdf("x", "secret")),
    Hostile("blank page", ".pdf", "no_text", lambda: _pdf("")),
    Hostile("a million columns", ".csv", "too_complex", lambda: b"a," * 1_000_000),
    Hostile("quote without end", ".csv", "too_complex", lambda: b'a,b\n"' + b"x,y\n" * 400_000),
    Hostile("wide header", ".csv", "too_large",
            lambda: (",".join(f"{'h' * 60}{n}" for n in range(9000)) + "\n" + ("x," * 8999 + "x\n") * 60).encode()),
    Hostile("odd lengths", ".csv", READABLE, lambda: b'a;b\n"1;2\n3";;;;;\n\n"\n'),
    Hostile("formula", ".csv", READABLE, lambda: b"a,b\n=cmd|' /C calc'!A0,2\n"),
    Hostile("cut short", ".json", "corrupt", lambda: b'{"a": [1, 2'),
    Hostile("two values", ".json", "corrupt", lambda: b"{} {}"),
    Hostile("depth", ".json", "too_complex", lambda: b"[" * 100_000 + b"]" * 100_000),
    Hostile("half a character", ".json", READABLE, lambda: b'{"a": "\\ud800", "\\u0000": 1}'),
    Hostile("number without end", ".json", READABLE, lambda: b'{"a": ' + b"9" * 100_000 + b"}"),
    Hostile("names twice", ".json", READABLE, lambda: b'{"a": NaN, "a": Infinity}'),
    Hostile("no values", ".json", "empty", lambda: b"[{}, []]"),
    Hostile("one bad line", ".jsonl", "corrupt", lambda: b'{"a": 1}\n{"a": \n'),
    Hostile("laughs", ".xml", "xml_entities", lambda: f"{LAUGHS}<a>&a10;</a>".encode()),
    Hostile("laughs in 16 bits", ".xml", "xml_entities", lambda: f"{LAUGHS}<a>&a10;</a>".encode("utf-16")),
    Hostile("external entity", ".xml", "xml_entities", lambda: _EXTERNAL),
    Hostile("parameter entity", ".xml", "xml_entities", lambda: _PARAMETER),
    Hostile("entity blown up", ".xml", "xml_entities", lambda: _BLOW_UP),
    Hostile("depth", ".xml", "too_complex", partial(_tree, 50_000, "x")),
    Hostile("cut short", ".xml", "corrupt", lambda: _tree(9, "x")[:20]),
    Hostile("document type outside", ".xml", READABLE, lambda: _OUTSIDE),
    Hostile("inclusion", ".xml", READABLE, lambda: _INCLUDED),
    Hostile("no headers", ".eml", "not_a_eml", lambda: b"hello\nworld\n"),
    Hostile("depth of parts", ".eml", "too_complex", partial(_multiparts, 2000)),
    Hostile("parts without end", ".eml", "too_complex", partial(_parts, 3000)),
    Hostile("messages in messages", ".eml", READABLE, partial(_messages, 40)),
    Hostile("header without end", ".eml", READABLE, lambda: b"Subject: " + b'"' * 500_000 + b"\n\nhi"),
    Hostile("encoded words", ".eml", READABLE, lambda: b"Subject: " + b"=?utf-8?q?a=ff?= " * 20_000 + b"\n\nhi"),
    Hostile("attachment leads out", ".eml", READABLE, partial(_attached, "../../../etc/passwd", b"x")),
    Hostile("bomb attached", ".eml", READABLE, partial(_attached, "a.docx", b"PK\x03\x04" + bytes(99))),
    Hostile("cut short", ".rtf", "corrupt", lambda: b"{\\rtf1 hello"),
    Hostile("braces", ".rtf", READABLE, lambda: b"{\\rtf1 " + b"{" * 100_000 + b"x" + b"}" * 100_001),
    Hostile("number without end", ".rtf", "corrupt", lambda: b"{\\rtf1 \\u" + b"9" * 9999 + b"? x}"),
    Hostile("container of nothing", ".xls", "corrupt", lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(2000)),
    Hostile("pixels without end", ".png", "too_complex", partial(_png, 60_000, 60_000)),
    Hostile("many pixels", ".png", "too_complex", partial(_png, 11_000, 11_000)),
    Hostile("cut short", ".png", "corrupt", _picture_cut_short),
    Hostile("parentheses", ".py", READABLE, lambda: b"(" * 290_000),
    Hostile("noise", ".js", READABLE, partial(_noise, "(){}[];=<>\"'`ab \n", 200_000)),
    Hostile("angles", ".java", READABLE, lambda: b"a<" * 145_000),
    Hostile("quotes", ".ts", READABLE, lambda: b"'" * 290_000),
    Hostile("written by a program", ".c", READABLE, lambda: b"int a[] = {\n" + b"1,\n" * 500_000 + b"};"),
    Hostile("aliases", ".yaml", READABLE,
            lambda: ("a0: &a0 [x]\n" + "".join(f"a{n + 1}: &a{n + 1} [*a{n}, *a{n}]\n" for n in range(60))).encode()),
    Hostile("path as a value", ".jsonl", READABLE, lambda: json.dumps({"../../x": "file:///etc/passwd"}).encode()),
)  # fmt: skip
