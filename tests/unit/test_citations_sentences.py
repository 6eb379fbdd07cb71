"""Units, terms and quotations are found at their true places."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.generation.sentences import locate, quotations, support, terms, units

MARKDOWN = """\
# Scanner ZT-88

Log in with your badge, e.g. at the dock. The PIN has 4.5 cm keys
and locks after five tries.

| Light | Meaning |
|-------|---------|
| Solid red | Wrong lane. Stop! |

- **Trigger sticks** in dust. Clean it.
  Never with solvent.
- Second item

```
Service menu > Reset
```

KNOWN FAULTS
  IFTMIN    transport order in    within 2 minutes
"""


def test_units_follow_the_structure() -> None:
    """Rows, items, code lines and headings are units of their own; prose is cut into sentences."""
    found = [(unit.kind, MARKDOWN[unit.start : unit.end]) for unit in units(MARKDOWN)]
    assert found == [
        ("heading", "# Scanner ZT-88"),
        ("sentence", "Log in with your badge, e.g. at the dock."),
        ("sentence", "The PIN has 4.5 cm keys\nand locks after five tries."),
        ("heading", "| Light | Meaning |"),
        ("row", "| Solid red | Wrong lane. Stop! |"),
        ("item", "**Trigger sticks** in dust. Clean it.\n  Never with solvent."),
        ("item", "Second item"),
        ("code", "Service menu > Reset"),
        ("heading", "KNOWN FAULTS"),
        ("row", "IFTMIN    transport order in    within 2 minutes"),
    ]


def test_german_ordinals_end_no_sentence() -> None:
    """A German date is not cut at its full stop."""
    text = "Der Urlaub verfällt am 31. März des Folgejahres. Das ist so."
    first = units(text)[0]
    assert text[first.start : first.end] == "Der Urlaub verfällt am 31. März des Folgejahres."


@settings(deadline=None)
@given(st.text(max_size=300) | st.lists(st.sampled_from(MARKDOWN.split(" ")), max_size=60).map(" ".join))
def test_units_are_ordered_trimmed_slices(text: str) -> None:
    """Units stand in order, do not overlap, and begin and end with a visible character."""
    end = 0
    for unit in units(text):
        assert end <= unit.start < unit.end <= len(text)
        assert text[unit.start : unit.end] == text[unit.start : unit.end].strip()
        end = unit.end


@pytest.mark.parametrize(
    ("one", "other"),
    [("2,000", "2.000"), ("97,5", "97.5"), ("Tage", "Tagen"), ("expires", "expired"), ("QH-7", "qh-7")],
)
def test_spellings_of_one_term_are_equal(one: str, other: str) -> None:
    """Inflection, case and the style of a number make no difference."""
    assert terms(one) == terms(other) != ()


def test_a_wrong_number_costs_more_than_a_wrong_word() -> None:
    """Numbers and codes weigh more than words in a claim's support."""
    source = frozenset(terms("Annual leave is 30 days"))
    assert support(terms("annual leave 35 days"), source) < support(terms("annual holiday 30 days"), source)


def test_quotations_are_long_enough_to_be_meant() -> None:
    """Short words in quote marks and inch marks are not quotations."""
    assert quotations('The "red" light and a 5" and 6" screen say “Wrong lane, stop at once”.') == [
        "Wrong lane, stop at once"
    ]


@settings(deadline=None)
@given(st.text(max_size=80), st.text(max_size=200))
def test_locate_is_inside_or_nowhere(quotation: str, text: str) -> None:
    """A place found is a non-empty span of the text."""
    if (span := locate(quotation, text)) is not None:
        assert 0 <= span[0] < span[1] <= len(text)


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(["Größe", "30", "“days”", "it’s", "über", "–", "a\u00adb", "(x)"]), min_size=1, max_size=8)
)
def test_a_slice_is_found_again(words: list[str]) -> None:
    """Text taken from a passage is found in it through case, line breaks and typographic marks."""
    quoted = " ".join(words)
    text = f"Before it, {quoted.upper()} after it.".replace(" ", "\n ")
    if any(map(str.isalnum, quoted)):
        assert locate(quoted, text) is not None
