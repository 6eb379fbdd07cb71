"""A claim states no number that its passage does not, however either is written."""

import pytest

from retrieval.generation.citations import CitationStream
from retrieval.generation.numbers import numbers, states_other_number
from tests.unit.test_citations import ranked

DEPOSIT = "The deposit for a rented flat is 500 euros and is paid within 30 days."
LEASE = "The lease ends on 3 December 2024 at 10:30"


@pytest.mark.parametrize(
    "number",
    [
        *("1,000", "1.000", "1 000", "1'000", "1,000,000", "1 million", "1:00", "0,000", "500,000", "500 million"),
        *("30,000", "30k", "30 million", "thirteen", "fifty", "five hundred thousand", "dreizehn", "5", "50 000"),
        *("30.500", "zweihundert", "thirty-five", "500 bn", "5:00", "30 thousand", "two"),
    ],
)
def test_no_shape_of_a_number_makes_it_another(number: str) -> None:
    """Zeros, groups, scales and words do not turn a number of the passage into the claim's."""
    assert states_other_number(f"The deposit is {number} euros", numbers(DEPOSIT))


@pytest.mark.parametrize(
    "moment",
    [
        *("10.03.2024", "12:30", "3:10", "30 December 2024", "December 10", "2024-10-03", "3.10.", "10:03", "3:00"),
        *("24 December", "3.12.2025", "10.12.24", "12.30 Uhr", "12/30/2024"),
    ],
)
def test_parts_of_a_date_make_no_other(moment: str) -> None:
    """Day, month, hour and minute must be one day and one time in the passage, not picked together."""
    assert states_other_number(f"The lease ends at {moment}", numbers(LEASE))


@pytest.mark.parametrize(
    ("claim", "source"),
    [
        ("500 euros within 30 days", DEPOSIT),
        ("five hundred euros, within thirty days", DEPOSIT),
        ("fünfhundert Euro, dreißig Tage", DEPOSIT),
        ("500.00 euros", DEPOSIT),
        ("0 fees, 1 deposit, one flat, no interest", DEPOSIT),
        ("2.5 million", "2,500,000"),
        ("2,500,000", "2.5 million"),
        ("2.500.000", "2,5 Mio."),
        ("1.200", "1200"),
        ("1.250 kg", "1.25 kg"),
        ("5 m", "5 metres"),
        ("100 thousand", "100,000"),
        ("10–20 million", "10 million to 20 million"),
        ("a hundred and fifty", "150"),
        ("two hundred", "200"),
        ("35", "thirty-five"),
        ("35 Tage", "fünfunddreißig Tage"),
        ("thirty-first of March", "31 March"),
        ("There are two kinds of leave", "Annual leave. Sick leave."),
        ("a six-month notice", "6 months' notice"),
        ("24", "twenty-four"),
        ("030 123", "030 123"),
        ("Python 3.12.", "Python 3.12 of 3 May"),
        ("16:9", "16:9"),
        ("December 3", LEASE),
        ("December 3rd, 2024", LEASE),
        ("3.12.2024", LEASE),
        ("12/3/2024 at 10:30 am", LEASE),
        ("am 3.12. um 10.30 Uhr", LEASE),
        ("2024-12-03", LEASE),
        ("3 December", "3–5 December"),
        ("5. Dezember", "vom 3. bis 5. Dezember"),
        ("14:00", "2 pm"),
        ("2 pm", "14:00"),
        ("2:30 p.m.", "14 Uhr 30"),
        ("9:00 to 17:00", "9-17 Uhr"),
        ("8:30 to 16:30", "8.30 – 16.30 Uhr"),
        ("8.30 bis 16.30 Uhr", "8:30–16:30"),
        ("10:00 Uhr", "um zehn Uhr"),
        ("10:00", "opens at 10"),
        ("31.03.24", "am 31. März 2024"),
        ("3 December", "| Month | Day |\n| December | 3 |"),
    ],
)
def test_a_paraphrase_keeps_its_number(claim: str, source: str) -> None:
    """The same number, day or time in another notation is the same."""
    assert not states_other_number(claim, numbers(source))


VACATION = "Employees get 25 days of vacation per year."
SICK_PAY = "Employees get 30 days of sick pay per year. Vacation is granted by the year."


@pytest.mark.parametrize(
    ("claim", "kept"),
    [
        ("Employees get 30 days of vacation per year [1].", []),
        ("Employees get 25 days of vacation per year [1].", [1]),
        ("Employees get 25 days of vacation and 30 days of sick pay per year [1][2].", [1, 2]),
        ("Employees get 25 days of vacation and 30 days of sick pay per year [2] [1].", [2, 1]),
        ("Employees get 25 days of vacation and 30 days of sick pay per year [1, 2].", [1, 2]),
        ("Employees get 25 days of vacation and 35 days of sick pay per year [1][2].", []),
        ("Employees get 25 days of vacation and 30 days of sick pay per year [1][9].", []),
        ("Employees get 25 days of vacation and 30 days of sick pay per year [1].", []),
        ("By handbook 2023 employees get 25 days of vacation per year [1].", [1]),
    ],
)
async def test_a_number_stands_in_what_is_cited_for_it(claim: str, kept: list[int]) -> None:
    """A claim's numbers stand in the passage its marker names or one named right beside it, titles included."""
    stream = CitationStream([ranked(1, VACATION, title="Handbook 2023"), ranked(2, SICK_PAY)])
    await stream.feed(claim)
    assert [citation.number for citation in (await stream.finish()).citations] == kept


@pytest.mark.parametrize(
    ("text", "kept"), [(VACATION, False), ("Employees with many years in the firm get more vacation days.", True)]
)
async def test_a_number_of_the_question_proves_nothing(text: str, kept: bool) -> None:
    """The question's number may be repeated, but not against a passage that states numbers of its own."""
    stream = CitationStream([ranked(1, text)], question="Do employees get 45 days?")
    await stream.feed("Yes, employees get 45 days of vacation [1].")
    assert bool((await stream.finish()).citations) == kept
