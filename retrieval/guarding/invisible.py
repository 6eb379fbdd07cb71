"""Characters that nobody sees and a model reads: orders and secrets are smuggled in them."""

import re

_DROPPED = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0d\ufeff\uffa0\ufff9-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
# Persian, Indic scripts and emoji need a joiner between two letters; after ASCII or another one it only hides things.
_INVISIBLE = re.compile(f"[{_DROPPED}]+|(?:(?<=[\x00-\x7f\u200c\u200d])|(?<![\\s\\S]))[\u200c\u200d]+")


def without_invisible(text: str, before: str = "") -> str:
    """The text, which follows `before`, without tag characters, bidi controls, fillers and zero-width characters."""
    if text.isascii():
        return text
    known = before[-1:]
    return _INVISIBLE.sub("", known + text)[len(known) :]
