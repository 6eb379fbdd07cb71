"""E-mail: who wrote what to whom, and what was attached."""

from collections.abc import Callable, Iterator, Sequence
from email.header import decode_header, make_header
from email.message import Message
from email.parser import BytesParser
from email.policy import compat32
from typing import TypeAlias

from ingest.parsing.encoding import decode, storable
from ingest.parsing.html import parse_html
from ingest.parsing.parsed import Parsed
from ingest.parsing.plain import parse_plain
from ingest.parsing.writing import Writing
from retrieval.errors import UnreadableDocument

DEEPEST = 3  # messages attached to messages
MOST_PARTS = 200
_LONGEST_HEADER = 5000  # characters
_SHOWN = ("From", "To", "Cc", "Date")
_EVERY_MAIL_HAS_ONE = ("from", "to", "subject", "date", "received", "message-id", "mime-version")

Mail: TypeAlias = "Message[str, str]"
ReadAttachment: TypeAlias = Callable[[str, bytes], Parsed]
"""From a name and content to what it holds; raises `UnreadableDocument`."""


def parse_mail(content: bytes, read_attachment: ReadAttachment) -> Parsed:
    """The message under its subject, each attachment under its name; one that cannot be read is named with the reason.

    Raises `UnreadableDocument`: `not_a_eml` or `too_complex`.
    """
    # Not the newer policy: its parser of headers takes time that grows with the square of their length.
    message = BytesParser(policy=compat32).parsebytes(content)
    if not any(name in message for name in _EVERY_MAIL_HAS_ONE):
        raise UnreadableDocument("not_a_eml", "the file has none of the headers a message has")
    writing = Writing()
    _write_message(writing, message, read_attachment, 1)
    return writing.parsed(_header(message, "Subject"))


def _write_message(writing: Writing, message: Mail, read_attachment: ReadAttachment, level: int) -> None:
    writing.heading(level, _header(message, "Subject") or "Message")
    values = ((name, _header(message, name)) for name in _SHOWN)
    writing.lines("paragraph", (f"{name}: {value}" for name, value in values if value))
    parts = _parts(message)
    for body in _bodies(parts):
        writing.include(body, under=level)
    for part in parts:
        if _is_message(part):
            _write_attached_message(writing, part, read_attachment, level)
        elif part.get_filename():
            _write_attachment(writing, part, read_attachment, level)


def _write_attached_message(writing: Writing, part: Mail, read_attachment: ReadAttachment, level: int) -> None:
    if level > DEEPEST:
        writing.paragraph("Attached message: not read (too_complex)")
        return
    for message in _inside(part):
        _write_message(writing, message, read_attachment, level + 1)


def _write_attachment(writing: Writing, part: Mail, read_attachment: ReadAttachment, level: int) -> None:
    name, content = _one_line(part.get_filename() or ""), _content(part)
    try:
        parsed = read_attachment(name, content)
    except UnreadableDocument as error:
        writing.paragraph(f"Attachment: {name}, {len(content)} bytes, not read ({error.reason})")
        return
    writing.heading(level + 1, f"Attachment: {name}")
    writing.include(parsed, under=level + 1)


def _parts(message: Mail) -> list[Mail]:
    found: list[Mail] = []
    for part in _leaves(message):
        found.append(part)
        if len(found) > MOST_PARTS:
            raise UnreadableDocument("too_complex", f"the message has more than {MOST_PARTS} parts")
    return found


def _leaves(message: Mail) -> Iterator[Mail]:
    """All that is no container; an attached message is one leaf."""
    if _is_message(message) or not message.is_multipart():
        yield message
        return
    for part in _inside(message):
        yield from _leaves(part)


def _inside(message: Mail) -> list[Mail]:
    payload = message.get_payload()
    return [part for part in payload if isinstance(part, Message)] if isinstance(payload, list) else []


def _is_message(part: Mail) -> bool:
    return part.get_content_type() == "message/rfc822" and part.is_multipart()


def _bodies(parts: Sequence[Mail]) -> list[Parsed]:
    """What was written, as plain text where it is there too."""
    written = [part for part in parts if not part.get_filename() and part.get_content_disposition() != "attachment"]
    plain = [parse_plain(_text(part).strip().encode()) for part in written if part.get_content_type() == "text/plain"]
    if any(body.text.strip() for body in plain):
        return [body for body in plain if body.text.strip()]
    return [parse_html(_text(part).encode()) for part in written if part.get_content_type() == "text/html"]


def _text(part: Mail) -> str:
    content = _content(part)
    try:
        return storable(content.decode(part.get_content_charset() or "ascii"))
    except (LookupError, ValueError):
        return decode(content, declared=True)


def _content(part: Mail) -> bytes:
    content = part.get_payload(decode=True)
    return content if isinstance(content, bytes) else b""


def _header(message: Mail, name: str) -> str:
    raw = str(message.get(name, ""))[:_LONGEST_HEADER]
    try:
        return _one_line(str(make_header(decode_header(raw))))
    except (LookupError, ValueError):
        return _one_line(raw)


def _one_line(text: str) -> str:
    return " ".join(storable(text).split())
