"""The blocks of a stored text whose own were not kept: close to what its parser found in the file."""

from ingest.domain import Block
from ingest.parsing.markdown import find_blocks, parse_markdown
from ingest.parsing.plain import parse_plain


def found_blocks(content_type: str, text: str) -> tuple[Block, ...]:
    """Of plain text as of a plain file; of all others as of Markdown, which is what they are stored as."""
    if content_type == "text/plain":
        return parse_plain(text.encode()).blocks
    if content_type == "text/markdown":
        return parse_markdown(text.encode()).blocks
    return tuple(find_blocks(text, generated=True))
