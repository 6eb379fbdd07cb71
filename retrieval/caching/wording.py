"""What a question's words say about keeping its answer: whether another asker, or another day, would need another
one, and which of its words another question must have however near their embeddings are.

English and German. Lists err on the safe side: what they take for personal is only written anew.
"""

import re
import unicodedata
from collections.abc import Sequence

from retrieval.generation.claims import NEGATION
from retrieval.generation.numbers import numbers
from retrieval.generation.sentences import terms
from retrieval.search.phrases import quoted

_PERSONAL = re.compile(
    r"\b(?:i|me|my|mine|myself|we|our|ours|ourselves|ich|mir|mich|mein\w{0,2}|wir|uns|unser\w{0,2})\b|(?-i:\b[uU]s\b)",
    re.IGNORECASE,
)
_UNIT = (
    r"(?:day|week|weekend|month|quarter|year|morning|night|season|monday|tuesday|wednesday|thursday|friday|saturday|sunday"
    r"|woche|wochenende|monat|quartal|jahr|mal|saison|montag|dienstag|mittwoch|donnerstag|freitag|samstag|sonntag)"
)
_TIMELY = re.compile(
    r"\b(?:today\w*|tonight|tomorrow\w*|yesterday\w*|now|nowadays|currently?|presently|latest|newest|most recent"
    r"|recently|lately|just|still|yet|already|ago|so far|up to date|upcoming|next|soon|at the moment|this time|as of"
    rf"|since when|until when|(?:this|last|past|coming|previous) {_UNIT}s?"
    r"|heut\w*|gestern\w*|vorgestern|morgen|übermorgen|jetzt\w*|aktuell\w*|derzeit\w*|zurzeit|zur zeit|momentan\w*"
    r"|gerade|gegenwärtig\w*|neuest\w*|neulich|kürzlich|zuletzt|bisher\w*|bislang|noch|schon|bereits|bald|demnächst|nächst\w*"
    r"|seit wann|bis wann|kommend\w*|vergangen\w*|inzwischen|mittlerweile"
    r"|stand (?:der dinge|heute|vom)|how old|wie alt|remaining|verbleibend\w*"
    rf"|(?:diese[rnms]?|letzte[rnms]?|vorige[rnms]?) {_UNIT}(?:e|en|s)?)\b",
    re.IGNORECASE,
)


def is_lasting(text: str) -> bool:
    """Whether who asks and when makes no difference to the answer, as far as the words tell."""
    return not (_PERSONAL.search(text) or _TIMELY.search(text))


def normalised(text: str) -> str:
    """The question as it is compared: composed characters, single blanks, no marks at its end."""
    return " ".join(unicodedata.normalize("NFC", text).split()).rstrip(" ?!.")


def _listed(words: str) -> frozenset[str]:
    return frozenset(words.split())


_ASKING = {
    word: asked
    for asked, words in {
        "who": "who whom wer wem wen",
        "whose": "whose wessen",
        "when": "when wann",
        "where": "where wo wohin woher",
        "why": "why warum weshalb wieso",
        "how": "how wie wieviel wieviele",
    }.items()
    for word in words.split()
}
_TURNING = _listed(
    "can could may might must should shall need only always ever before after until from to by than versus vs with "
    "minimum min maximum max least most less more fewer lower higher lowest highest smallest largest first last second "
    "above below over under between up down in out on off start begin beginning end finish open close old new former "
    "increase decrease rise fall allowed forbidden permitted prohibited enable disable internal external import export "
    "incoming outgoing buy sell send receive many much long often far early late soon big small any all each every "
    "some kann können darf dürfen muss müssen soll sollen nur immer vor nach bis von zu durch als gegen mit mindestens "
    "höchstens minimal maximal wenigste meiste weniger mehr niedriger höher erste erster letzte letzter über unter "
    "zwischen auf ab aus beginn anfang ende öffnen schließen alt neu erlaubt verboten intern extern eingehend "
    "ausgehend kaufen verkaufen senden empfangen viel viele lange oft weit früh spät alle jeder einige"
)
_COURTESY = re.compile(
    r"\A(?:(?:please|hi|hello|hey|(?:can|could) you|tell|show|explain|say|bitte|hallo|sag(?:en?)?|zeig(?:en?)?"
    r"|erkläre?)\b[\s,:!]*)+|[\s,]*\b(?:please|thanks|thank you|bitte|danke)\Z",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W_]+(?:[-_./:&+'’][^\W_]+)*")


def telling_words(text: str) -> tuple[str, ...]:
    """What makes it this question and no other, in this order; two that differ only in the rest may share an answer.

    Content words, numbers, codes and quotations; what negates, compares, permits or gives a direction; what is asked
    for, as who is not when. Measured: one such word, or the places of two, changed, and an embedding hardly moves.
    """
    words = (word for found in _WORD.findall(_COURTESY.sub("", text)) for word in _telling(found))
    return (*sorted(numbers(text)), *(part.casefold() for part in quoted(text)), "|", *words)


def _telling(word: str) -> Sequence[str]:
    folded = word.casefold()
    stem = re.split("['’]", folded)[0]
    if NEGATION.search(folded.replace("’", "'")):
        return ("not", *terms(stem))
    if stem in _ASKING:
        return (_ASKING[stem],)
    if stem in _TURNING or _is_name(word):
        return (stem,)
    if len(stem) == 1 and not stem.isascii():  # a word of its own in scripts that `terms` does not know
        return (stem,)
    return terms(stem)


def _is_name(word: str) -> bool:
    """Where a stop word or a letter is none: `IT`, plan `B`, `H2O`."""
    return word.isupper() or word[1:] != word[1:].lower()
