"""What must not leave: the shapes of credentials and of personal data.

Each quantifier is bounded, so that a stream holds little back; what follows a credential's recognised beginning
is dropped as it comes (`rest`).
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from math import log2
from typing import Literal

from stdnum import iban, luhn

Kind = Literal["secrets", "pii"]


def _whole(match: str) -> int:
    return len(match)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """A shape. Of a match its group `value`, where it has one, is removed, and what of `rest` follows it.

    `size` says how many characters of that count, 0: it only looks alike.
    """

    name: str
    kind: Kind
    shape: str
    size: Callable[[str], int] = _whole
    rest: str = ""

    @property
    def replacement(self) -> str:
        return f"[{'secret' if self.kind == 'secrets' else self.name} removed]"


_TOKEN = r"[A-Za-z0-9_\-+/=]"  # noqa: S105 - a shape
_MIXED = r"(?=[\w-]{0,19}\d)(?=[\w-]{0,19}[A-Za-z])"
_CREDENTIALS = (
    r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}",  # aws
    r"gh[pousr]_[A-Za-z0-9]{30}",  # github
    r"github_pat_[A-Za-z0-9_]{22}",  # github fine
    r"gl(?:pat|dt|rt|cbt)-[\w-]{20}",  # gitlab
    r"AIza[\w-]{35}",  # google
    r"(?:ya29\.|GOCSPX-)[\w-]{24}",  # google oauth
    r"(?:xox[abceoprs]|xapp)-[\w-]{10}",  # slack
    r"hooks\.slack\.com/services/[\w/]{20}",  # slack hook
    r"(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{16}",  # stripe
    r"whsec_[A-Za-z0-9+/]{24}",  # webhook
    rf"sk-(?:proj-|svcacct-|admin-|ant-|or-)?{_MIXED}[\w-]{{20}}",  # openai
    r"pk_[0-9a-f]{12}_[\w-]{43}",  # pincite
    r"hf_[A-Za-z0-9]{30}",  # hugging face
    r"(?:gsk_|xai-|r8_|pplx-)[A-Za-z0-9]{32}",  # groq
    r"npm_[A-Za-z0-9]{36}",  # npm
    r"pypi-AgE[\w-]{40}",  # pypi
    r"SG\.[\w-]{16,32}\.[\w-]{16}",  # sendgrid
    r"(?:SK|AC)[0-9a-f]{32}",  # twilio
    r"\d{8,10}:AA[\w-]{32}",  # telegram
    r"hv[sb]\.[\w-]{24}",  # vault
    r"do[opr]_v1_[a-f0-9]{64}",  # digitalocean
    r"(?:AccountKey|SharedAccessKey|sig)=(?=[\w+/=%]{0,39}\d)[A-Za-z0-9+/=%]{40}",  # azure
)
_WORDS_FOR_IT = r"passw(?:or)?d|passwort|kennwort|passphrase|pwd"
_KEY = r"secret|token|credentials?|auth|(?:api|access|private|secret|signing|encryption|account)[_ -]?key"
_VALUE = r"""[^\s"'`<>\[\]{},;()]"""

_LEAST_BITS = 3.3
"""Of entropy per character. Hexadecimal digits by chance have 3.5 to 4, identifiers in English seldom 3.3."""

KEY_BLOCK = r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
KEY_END = r"-----END [A-Z0-9 ]{0,60}-----"


def _given_to(names: str) -> str:
    """The shape of a value that something of these names is said to have."""
    quotes = r"[\"'`*]{0,3}"
    says = r"\s{0,3}(?:[:=]{1,2}>?|\bis\b|\bist\b)\s{0,3}"
    return rf"(?<![A-Za-z])(?i:{names}){quotes}{says}{quotes}(?P<value>{_VALUE}{{6,200}})"


def _password(value: str) -> int:
    """A digit and something else: `required` and `2026` are words about a password."""
    return len(value) if _has_digit(value) and not value.rstrip(".:!?").isdigit() else 0


def _random(value: str) -> int:
    """Characters that nobody would write in a sentence: many, of several kinds, in no order."""
    letters = any(map(str.isalpha, value))
    return len(value) if len(value) >= 16 and letters and _has_digit(value) and _bits(value) >= _LEAST_BITS else 0


def _has_digit(text: str) -> bool:
    return any(map(str.isdigit, text))


def _bits(text: str) -> float:
    """Shannon entropy in bits per character."""
    return -sum(count / len(text) * log2(count / len(text)) for count in Counter(text).values())


def _iban(match: str) -> int:
    """The longest beginning that is an IBAN of its country's structure with a right checksum."""
    ends = range(len(match), 14, -1)
    return next((end for end in ends if match[end - 1].isalnum() and iban.is_valid(match[:end])), 0)


def _card(match: str) -> int:
    digits = "".join(filter(str.isdigit, match))
    return len(match) if digits[0] in "23456" and luhn.is_valid(digits) else 0


def _phone(match: str) -> int:
    return len(match) if 8 <= sum(map(str.isdigit, match)) <= 15 else 0


SECRETS = (
    Pattern(name="token", kind="secrets", shape=rf"(?<![A-Za-z0-9])(?:{'|'.join(_CREDENTIALS)})", rest=_TOKEN),
    Pattern(name="jwt", kind="secrets", shape=r"(?<![\w.])eyJ[\w-]{8,400}\.eyJ[\w-]{8}", rest=r"[\w.=-]"),
    Pattern(name="key", kind="secrets", shape=KEY_BLOCK),
    Pattern(
        name="url",
        kind="secrets",
        shape=r"""://[^\s/:@<>"'`]{0,64}:(?P<value>[^\s/@<>"'`]{1,128})@""",
    ),
    Pattern(name="password", kind="secrets", shape=_given_to(_WORDS_FOR_IT), size=_password, rest=_VALUE),
    Pattern(name="assigned", kind="secrets", shape=_given_to(_KEY), size=_random, rest=_VALUE),
)
PII = (
    Pattern(
        name="email",
        kind="pii",
        shape=r"(?<![\w.+-])[\w.%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,4}",
    ),
    Pattern(name="iban", kind="pii", shape=r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?:[ ]?[A-Z0-9]){11,30}", size=_iban),
    Pattern(name="card", kind="pii", shape=r"(?<![\w.-])\d(?:[ -]?\d){12,18}(?!\d)", size=_card),
    Pattern(name="ssn", kind="pii", shape=r"(?<![\w-])(?!000|666|9\d\d)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\w-])"),
    Pattern(
        name="phone",
        kind="pii",
        shape=r"(?<![\w+.-])(?:(?:\+|00)[1-9](?:[ ()./-]{0,3}\d){6,13}"
        r"|(?:\(\d{3}\)[ ]?|\d{3}[-. ])\d{3}[-. ]\d{4}|0\d{2,5}(?:[ ]?[ /-][ ]?)\d{3,8}(?:[ -]\d{1,5}){0,3})(?![\w-])",
        size=_phone,
    ),
)
