"""What a question's words say about keeping its answer: whether another asker, or another day, would need another
one, and which of its words two questions must share however near their embeddings are.

English and German. Lists err on the safe side: what they take for personal is only written anew.
"""

import re
import unicodedata

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
    r"|seit wann|bis wann|kommend\w*|vergangen\w*|inzwischen|mittlerweile|stand"
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
        "what": "what which was welche welcher welches welchen welchem",
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
    "zwischen auf ab an aus ein beginn anfang ende öffnen schließen alt neu erlaubt verboten intern extern eingehend "
    "ausgehend kaufen verkaufen senden empfangen viel viele lange oft weit früh spät alle jeder einige"
)
_LEADING = _listed("from to by than of between von nach zu bis durch als zwischen")
"""Behind these a word says which way: from Leipzig to Hamburg is another question than the way back."""
_WORD = re.compile(r"[^\W_]+(?:[-_./:&+'’][^\W_]+)*")


def literals(text: str) -> tuple[str, ...]:
    """The words that turn a question into another one without moving its embedding, in their order.

    Numbers, codes and quotations; names, by their capitals; what negates, compares, permits or gives a direction, and
    what is asked for: who is not when.
    """
    words = _WORD.findall(text)
    found = [literal for at, word in enumerate(words) for literal in _literal(words, at, word)]
    return (*sorted(numbers(text)), *(part.casefold() for part in quoted(text)), "|", *found)


def _literal(words: list[str], at: int, word: str) -> list[str]:
    folded = word.casefold()
    found = []
    if at and words[at - 1].casefold() in _LEADING:
        found.append(f">{folded}")
    if NEGATION.search(folded):
        found.append("not")
    elif folded in _ASKING:
        found.append(_ASKING[folded])
    elif folded in _TURNING or _names(word):
        found.append(folded)
    return found


def _names(word: str) -> bool:
    """A code, or a word with a capital that is not a stop word at a sentence's beginning."""
    capital = word[0].isupper() and (len(word) == 1 or bool(terms(word)))
    return capital or any(map(str.isdigit, word)) or word[1:] != word[1:].lower()
