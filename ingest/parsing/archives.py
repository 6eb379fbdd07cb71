"""Zip archives that documents come in, opened as if each were meant to hurt.

No library is given an archive as it came: it gets one packed anew from the parts that were read here.
"""

import stat
import zipfile
from collections.abc import Iterable, Mapping
from io import BytesIO
from pathlib import PurePosixPath

from retrieval.errors import UnreadableDocument

LARGEST_UNPACKED = 200 * 1024 * 1024  # bytes
LARGEST_RATIO = 100
MOST_ENTRIES = 10_000
_RATIO_MATTERS_FROM = 20 * 1024 * 1024  # a small file of one repeated line packs as well as a bomb
_OLE_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENCRYPTED_STREAM = "EncryptedPackage".encode("utf-16-le")
_ENCRYPTED_FLAG = 0x1
_TEXTS = (".xml", ".rels", ".html", ".htm", ".xhtml", ".opf", ".ncx", "mimetype")

Parts = Mapping[str, bytes]


def read_parts(content: bytes, extension: str, must_hold: str) -> Parts:
    """The parts of an archive that are text, by name; the others (pictures, fonts, programs) are there, but empty.

    Raises `UnreadableDocument`: `encrypted`, `corrupt`, `too_complex`, `unsafe_archive`, and `not_a_<extension>`
    for what is no archive or has no part `must_hold`.
    """
    _refuse_locked(content)
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            if must_hold not in archive.namelist():
                raise UnreadableDocument(f"not_a_{extension}", f"the file is a zip archive, but not a .{extension}")
            _refuse_bomb(archive.infolist(), len(content))
            _refuse_tricks(archive.infolist())
            return {
                entry.filename: archive.read(entry) if entry.filename.lower().endswith(_TEXTS) else b""
                for entry in archive.infolist()
            }
    except zipfile.BadZipFile as error:
        if content.startswith(b"PK"):
            raise UnreadableDocument("corrupt", f"the .{extension} file is damaged or cut short") from error
        raise UnreadableDocument(f"not_a_{extension}", f"the file is not a .{extension} file") from error


def refuse_entities(parts: Parts) -> None:
    """Office programs write no document types; whoever does is after the XML parser: `xml_entities`."""
    for name, part in parts.items():
        # Without NULs, so that UTF-16 hides nothing.
        if name.lower().endswith((".xml", ".rels")) and b"<!DOCTYPE" in part.replace(b"\0", b""):
            raise UnreadableDocument("xml_entities", f"{name} contains a document type declaration")


def packed(parts: Parts) -> BytesIO:
    """An archive of just these parts."""
    made = BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    made.seek(0)
    return made


def _refuse_locked(content: bytes) -> None:
    """Office programs put what they encrypt into a container of the format before."""
    if content.startswith(_OLE_MAGIC) and _ENCRYPTED_STREAM in content:
        raise UnreadableDocument("encrypted", "the document is protected by a password")


def _refuse_bomb(entries: Iterable[zipfile.ZipInfo], size: int) -> None:
    """`too_complex` for an archive of `size` bytes that would not fit in memory, by what it says of itself."""
    sizes = [entry.file_size for entry in entries]
    unpacked = sum(sizes)
    swollen = unpacked > _RATIO_MATTERS_FROM and unpacked > size * LARGEST_RATIO
    if unpacked > LARGEST_UNPACKED or swollen:
        raise UnreadableDocument("too_complex", f"the archive unpacks to {unpacked // 2**20} MiB")
    if len(sizes) > MOST_ENTRIES:
        raise UnreadableDocument("too_complex", f"the archive has more than {MOST_ENTRIES} entries")


def _refuse_tricks(entries: Iterable[zipfile.ZipInfo]) -> None:
    seen: set[str] = set()
    for entry in entries:
        if entry.flag_bits & _ENCRYPTED_FLAG:
            raise UnreadableDocument("encrypted", "the archive is protected by a password")
        if entry.filename in seen or _leads_out(entry.filename) or stat.S_ISLNK(entry.external_attr >> 16):
            raise UnreadableDocument("unsafe_archive", "the archive has links, or names that repeat or lead out of it")
        seen.add(entry.filename)


def _leads_out(name: str) -> bool:
    return name.startswith("/") or "\\" in name or ":" in name.split("/")[0] or ".." in PurePosixPath(name).parts
