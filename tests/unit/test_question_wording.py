"""Which questions may be kept, and which two may share an answer."""

import pytest

from retrieval.caching.wording import is_lasting, normalised, telling_words

PASSING = [
    "How many days do I get?",
    "What is my allowance?",
    "Who leads our team?",
    "Tell us the code",
    "Wie viele Tage habe ich?",
    "Was ist mein Limit?",
    "Wer leitet unsere Abteilung?",
    "Who is on call today?",
    "What is the latest release?",
    "What is due this week?",
    "What changed last quarter?",
    "Is the gate still open?",
    "When is the next audit?",
    "Was gilt derzeit?",
    "Wer hat heute Bereitschaft?",
    "Was ist die neueste Version?",
    "Was gilt diese Woche?",
    "Wann ist das nächste Audit?",
    "How old is the roof?",
]
LASTING = [
    "How often does the red pump need oil?",
    "What does US law say?",
    "What is the last step of the import?",
    "Who approves travel in Myanmar?",
    "Welche Frist gilt nach der letzten Mahnung?",
    "What is the fuel surcharge for 2025?",
    "Wie lange dauert die Inbetriebnahme?",
    "Why did the test stand in hall 3 not start?",
]
DIFFERENT = [
    ("What was the budget in 2024?", "What was the budget in 2025?"),
    ("What does ERR-4012 mean?", "What does ERR-4013 mean?"),
    ("What does err-4012 mean?", "What does err-4013 mean?"),
    ("Is overtime paid?", "Is overtime not paid?"),
    ("Is overtime paid?", "Isn't overtime paid?"),
    ("Werden Überstunden bezahlt?", "Werden Überstunden nicht bezahlt?"),
    ("Does the rate hold for Nordvik?", "Does the rate hold for Hansefrucht?"),
    ("How long is the ride from hamburg to leipzig?", "How long is the ride from leipzig to hamburg?"),
    ("Did Nordvik pay Kestrel?", "Did Kestrel pay Nordvik?"),
    ("Who approves it?", "When is it approved?"),
    ("Who approves it?", "How is it approved?"),
    ("What is the maximum temperature?", "What is the minimum temperature?"),
    ("Can it be returned before delivery?", "Can it be returned after delivery?"),
    ("Must it be returned?", "Can it be returned?"),
    ("Plan B for outages?", "Plan C for outages?"),
    ('What does "standby mode" do?', 'What does "sleep mode" do?'),
    ("What is due within two weeks?", "What is due within three weeks?"),
    ("Wer genehmigt bis 500 Euro?", "Wer genehmigt ab 500 Euro?"),
    ("What is the no-show fee?", "What is the no-notice fee?"),
    ("What is the list price of the pump?", "What is the price list of the pump?"),
    ("猫 吃 鱼", "鱼 吃 猫"),
    ("What is the IT policy?", "What is the HR policy?"),
    ("When is the inbound cut-off?", "When is the outbound cut-off?"),
    ("Is the penalty for the buyer if the seller cancels?", "Is the penalty for the seller if the buyer cancels?"),
    ("Does the customer owe the supplier interest?", "Does the supplier owe the customer interest?"),
]
ALIKE = [
    ("How often does the red pump need oil?", "how often does a red pump need the oil"),
    ("What is the fee for late payment?", "Please tell: what's the fee for late payments?"),
    ("Which form is used for a claim?", "what form is used for the claim"),
    ("Wie hoch ist der Zuschlag für Nachtarbeit?", "Bitte sag: wie hoch ist ein Zuschlag für die Nachtarbeit"),
]


@pytest.mark.parametrize("text", PASSING)
def test_personal_and_passing_questions_are_known(text: str) -> None:
    """Whose answer depends on who asks or when, in English and German."""
    assert not is_lasting(text)


@pytest.mark.parametrize("text", LASTING)
def test_others_are_lasting(text: str) -> None:
    """Words that only look like it do not count."""
    assert is_lasting(text)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_words_that_turn_a_question(one: str, other: str) -> None:
    """However near two embeddings are: another number, code, name, direction, negation, role or question word."""
    assert telling_words(normalised(one)) != telling_words(normalised(other))


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_other_words_may_differ(one: str, other: str) -> None:
    """The embedding decides over the rest: articles, endings, courtesies."""
    assert telling_words(normalised(one)) == telling_words(normalised(other))


def test_what_is_the_same_question() -> None:
    """White space, the form of accents and the mark at the end do not make another question; case may."""
    assert normalised("  Where is\n the cafe\u0301 ?? ") == normalised("Where is the café")
    assert normalised("What is IT") != normalised("What is it")
