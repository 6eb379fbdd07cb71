"""Credentials and personal data are found in every way a stream may be cut, and little else is."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.guarding.redacting import Redaction, patterns_of, redact

ALL = patterns_of(secrets=True, pii=True)
SECRETS = patterns_of(secrets=True, pii=False)

# Put together here, so that no scanner takes this file for a leak.
CREDENTIALS = [
    "AKIA" + "IOSFODNN7EXAMPLE",
    "ghp_" + "16C7e42F292c6912E7710c838347Ae178B4a",
    "github_pat_" + "11ABCDEFG0abcdefghijkl_mnopqrstuvwxyz",
    "glpat-" + "aBcDeFgHiJkLmNoPqRsT",
    "AIza" + "SyA1234567890abcdefghijklmnopqrstuv",
    "xoxb-" + "123456789012-abcdefABCDEF",
    "hooks.slack.com/services/" + "T00000000/B00000000/XXXXXXXXXXXX",
    "sk_live_" + "4eC39HqLyjWDarjtT1zdp7dc",
    "sk-" + "proj-abc123DEF456ghi789JKL012",
    "sk-" + "ant-api03-abcdefgh1234567890ABCDEF-_xyz",
    "pk_" + "0123456789ab_" + "A" * 42 + "b",
    "hf_" + "abcdefghijklmnopqrstuvwxyzABCDEFGH",
    "npm_" + "abcdefghijklmnopqrstuvwxyz0123456789",
    "SG." + "abcdefghijklmnopqrst12.abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG",
    "eyJ" + "hbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
    "-----BEGIN " + "RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\n+/= \n-----END RSA PRIVATE KEY-----",
    "-----BEGIN " + "OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk",
]
VALUES = [
    ("postgres://app:", "s3cret-pw", "@db.internal/app"),
    ("password: ", "Tr0ub4dor&3", ""),
    ("Das Passwort ist ", "Sommer2026", ""),
    ('AWS_SECRET_ACCESS_KEY="', "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY1", '"'),
    ("api_key = ", "9f8a7b6c5d4e3f2a1b0c9d8e7f", ""),
]
PERSONAL = {
    "ada.lovelace+x@mail.acme.co.uk": "[email removed]",
    "+49 30 1234-5678": "[phone removed]",
    "(415) 555-0132": "[phone removed]",
    "030 / 90 1820": "030 / 90 1820",  # too short to be told from an extension
    "DE89 3704 0044 0532 0130 00": "[iban removed]",
    "GB29 NWBK 6016 1331 9268 18": "GB29 NWBK 6016 1331 9268 18",
    "4111 1111 1111 1111": "[card removed]",
    "4111 1111 1111 1112": "4111 1111 1111 1112",
    "078-05-1120": "[ssn removed]",
}
PROSE = "The red pump needs oil every week and its filter lasts for ninety days at most"
ORDINARY = [
    "The token is checked by the gateway; the secret: keep it short.",
    "The password is required, and must be changed every 90 days.",
    "Invoice 2026-11-21, part no. 4711-0815, 30 days, pages 12-14, v1.2.3.",
    "Use sk-learn-something-very-long-and-wordy for the secret-keeping task.",
    "Key: QH-7 means not connected. Access key rotation takes 24 hours.",
]


@pytest.mark.parametrize("credential", CREDENTIALS)
def test_a_credential_does_not_leave(credential: str) -> None:
    """Whole or letter by letter, in a sentence or in code, at the end or before more."""
    for before, after in (("It is ", " and no other."), ("`", "`"), ("", "")):
        found = redact(before + credential + after, SECRETS)
        assert found.counts["secrets"] == 1
        assert found.text in {f"{before}[secret removed]{after}", f"{before}[secret removed]"}


@pytest.mark.parametrize(("before", "value", "after"), VALUES)
def test_the_value_of_a_credential_does_not_leave(before: str, value: str, after: str) -> None:
    """What it is for may be said."""
    assert redact(before + value + after, SECRETS).text == f"{before}[secret removed]{after}"


@pytest.mark.parametrize(("text", "left"), PERSONAL.items())
def test_personal_data_leaves_by_policy(text: str, left: str) -> None:
    """Numbers with a checksum only where it is right; nothing where the policy is off."""
    assert redact(f"It is {text}, ok", ALL).text == f"It is {left}, ok"
    assert redact(f"It is {text}, ok", SECRETS).text == f"It is {text}, ok"


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_is_left_alone(text: str) -> None:
    """Words about passwords and keys, dates and part numbers stay."""
    assert redact(text, ALL).text == text


PARTS = [*CREDENTIALS, *PERSONAL, *ORDINARY, *("".join(value) for value in VALUES), *" .,;:\n-@+=[]1a", "is", "token: "]
TEXTS = st.lists(st.one_of(st.sampled_from(PARTS), st.text(max_size=4)), max_size=5).map("".join)


@settings(deadline=None, max_examples=120)
@given(TEXTS, st.data())
def test_how_the_text_is_cut_does_not_matter(text: str, data: st.DataObject) -> None:
    """A secret cut by the stream is found as in one piece, and as often."""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    whole = redact(text, ALL)
    for pieces in (
        list(text),
        [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)],
    ):
        redaction = Redaction(ALL)
        assert "".join(map(redaction.feed, pieces)) + redaction.finish() == whole.text
        assert redaction.counts == whole.counts


@pytest.mark.parametrize("policy", [SECRETS, ALL], ids=["secrets", "all"])
def test_little_is_held_back(policy: tuple[object, ...]) -> None:
    """Plain prose waits for no more than the end of its word, and whatever comes for no more than one credential."""
    redaction = Redaction(SECRETS if policy is SECRETS else ALL)
    for word in PROSE.split():
        redaction.feed(f"{word} ")
        assert len(redaction.pending) <= 1
    for hostile in ("eyJ", "-----BEGIN ", "password: ", "+49 30 ", "a" * 50, "1 ", "https://a:"):
        redaction.feed(hostile * 50)
        assert len(redaction.pending) <= 1000


def test_smuggled_characters_do_not_leave() -> None:
    """Nobody sees tag characters, bidi controls or zero-width blanks; joiners stay where a script needs them."""
    hidden = "".join(chr(0xE0000 + ord(character)) for character in "secret")
    assert redact(f"a{hidden}b\u202ec\u200bd", ()).text == "abcd"
    assert redact("AKIA\u200dIOSF\u200bODNN7EXAMPLE ", SECRETS).text == "[secret removed] "
    assert redact("می\u200cخواهم 👩\u200d🔬", ()).text == "می\u200cخواهم 👩\u200d🔬"
