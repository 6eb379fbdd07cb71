"""Units, terms and quotations are found at their true places."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.generation.citations import CitationStream
from retrieval.generation.claims import Quotable, last_sentence, quotations
from retrieval.generation.numbers import numbers, states_other_number
from retrieval.generation.sentences import support, terms, units
from tests.unit.test_citations import ranked

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
    if (span := Quotable(text).locate(quotation)) is not None:
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
        assert Quotable(text).locate(quoted) is not None


SMOKING = "Staff may not smoke inside the building at any time of the year. The engine was written by Ada Lovelace."


@pytest.mark.parametrize(
    ("quotation", "found"),
    [
        ("smoke inside the … of the year", "smoke inside the building at any time of the year"),
        ("... smoke inside the building ...", "smoke inside the building"),
        ("Staff may … smoke", None),
        ("Staff … may smoke … at any time", None),
        ("of the year … was written by Ada", None),
        ("inside the building … written by Ada", None),
        ("building at any … inside the building", None),
    ],
)
def test_an_elision_stays_in_its_sentence(quotation: str, found: str | None) -> None:
    """Words may be left out of a quotation within one sentence, between fragments long enough to be recognised."""
    span = Quotable(SMOKING).locate(quotation)
    assert (span and SMOKING[slice(*span)]) == found


def test_no_negation_is_left_out() -> None:
    """A quotation that leaves out a `not` says the opposite of its source."""
    assert Quotable("The staff may not smoke in the yard.").locate("the staff may ... smoke in the") is None
    assert Quotable("Es ist erlaubt, keine Hunde zu halten.").locate("Es ist erlaubt … Hunde zu halten") is None


@pytest.mark.parametrize(
    ("text", "last"),
    [
        ("It is so. The deposit is 900 euros, incl. heating", "The deposit is 900 euros, incl. heating"),
        ("It is so. Die Kaution beträgt 900 EUR. zzgl. Strom", "Die Kaution beträgt 900 EUR. zzgl. Strom"),
        ("It is so. The term is approx. 3 years", "The term is approx. 3 years"),
        ("It is so. Die Frist beträgt mind. Drei Tage", "Die Frist beträgt mind. Drei Tage"),
        ("It costs 9. Leave is long.", "Leave is long."),
    ],
)
def test_a_sentence_goes_on_behind_an_abbreviation(text: str, last: str) -> None:
    """A full stop before a small letter, a figure, or after an abbreviation ends no claim."""
    assert last_sentence(text).endswith(last)
    assert last_sentence(text).startswith(last[:9]) or text.startswith("It costs 9")


@pytest.mark.parametrize(
    ("claim", "source"),
    [
        ("1,200 users", "1.200 Nutzer"),
        ("1 200 EUR", "EUR 1200.00"),
        ("1.2 million", "1,200,000"),
        ("1.200.000", "1,2 Mio."),
        ("25% off", "25 percent"),
        ("97,5 °C", "97.5 °C"),
        ("31.03.2024", "March 31, 2024"),
        ("2024-03-31", "am 31. März 2024"),
        ("31.03.24", "31/3/2024"),
        ("14:00", "2 pm"),
        ("9.30 Uhr", "09:30"),
        ("2 years, 24 months", "zweijährig, twenty-four months"),
        ("the 5th floor", "fifth floor"),
        ("code QH-07", "QH7"),
        ("2. Leave is 30 days", "30 days"),
        ("Step 3: take 30 days", "30 days"),
        ("٣ days", "3 days"),
    ],
)
def test_a_number_is_known_however_it_is_written(claim: str, source: str) -> None:
    """Separators, scales, dates, hours, number words and codes are written in many ways; list numbers say nothing."""
    assert not states_other_number(claim, numbers(source))


@pytest.mark.parametrize(
    ("claim", "source"),
    [
        ("1234", "9999"),
        ("35 days", "30 days"),
        ("1,300", "1,200"),
        ("3.5", "3 and 5"),
        ("120", "1200"),
        ("QH-8", "QH-7"),
        ("31 March 2025", "31.03.2024"),
        ("2030", "30 days"),
        ("26 %", "25%"),
    ],
)
def test_another_number_is_another_number(claim: str, source: str) -> None:
    """Leniency about how a number is written does not make it another."""
    assert states_other_number(claim, numbers(source))


@pytest.mark.parametrize("size", [2**14, 2**16])
@pytest.mark.parametrize(
    ("begin", "again", "end"),
    [
        ("|" + " " * 8000, "-", "x"),
        ("|", " -", "x"),
        ("|", "|", "-x"),
        ("", " ", "x"),
        ("-" * 3, " ", "x"),
        ("a", " ", "\tb"),
        ("„", "a „", ""),
        ('"', "a", ""),
        ("", "1 ", "x"),
        ("", "100 ", "1"),
        ("", "1,000.", "x"),
        ("1", " ", "million"),
        ("", "a-1-", "x"),
        ("", "... ", "x"),
    ],
)
async def test_hostile_text_is_read_in_linear_time(begin: str, again: str, end: str, size: int) -> None:
    """No chunk makes a pattern go back over it again and again: a test that hangs here has found one."""
    text = begin + again * (size // len(again)) + end
    for read in (units, terms, quotations, numbers):
        read(text)
    states_other_number(text, numbers(text))
    Quotable(text).locate("a b c ... b c d" + text[:1500])
    stream = CitationStream([ranked(1, text)])
    await stream.feed(f"{' ' * 1490}{text[:64]} x [1]")


async def test_blanks_before_many_markers_are_read_once() -> None:
    """Rejected markers behind a long run of blanks: each looks at the blanks, none more than once."""
    stream = CitationStream([ranked(1, "Leave is 30 days.")])
    await stream.feed("a" + " " * 1400 + "x" + "[9]" * 1000)
    assert (await stream.finish()).rejected == 1000
