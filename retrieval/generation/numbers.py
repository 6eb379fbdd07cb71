"""Which numbers a text states, and whether a claim states another one.

German and English, in every way they are commonly written: a wrong number makes a citation wrong, whatever the words.
"""

import re
from decimal import Decimal
from unicodedata import decimal

_NUMERAL = re.compile(
    r"(?P<digits>[0-9]{1,3}(?:[ \u00a0\u202f'’][0-9]{3})+(?![0-9])(?:[.,][0-9]+)?|[0-9]+(?:[.,:][0-9]+)*)"
    r"(?: ?(?:(?P<thousands>k|thousand|tausend|tsd)|(?P<millions>million(?:en)?|mio|m)|"
    r"(?P<billions>billion|bn|milliarden?|mrd))\b)?",
    re.IGNORECASE,
)
_POWERS = {"thousands": 3, "millions": 6, "billions": 9}
_SHORT_DATE = re.compile(r"\b([0-9]{1,2}([./-])[0-9]{1,2}\2)([0-9]{2})(?![0-9])")
_HOUR = re.compile(r"\b([0-9]{1,2})(?::[0-9]{2}|(?:\.[0-9]{2})? ?(?:[ap]\.?m|uhr|h)\b)", re.IGNORECASE)
# What numbers the claim instead of standing in it: `2.` before an item, `step 3`, `passage 1`.
_LABEL = re.compile(
    r"\A[\s>*_#•+-]*[0-9]{1,3}[.)](?=\s)|\b(?:steps?|schritte?|passagen?|passages|sources?|quellen?) [0-9]{1,3}\b",
    re.IGNORECASE,
)


def _valued(table: str) -> dict[str, str]:
    entries = (entry.split() for entry in table.casefold().split("|"))
    return {word: value for value, *words in entries for word in words}


_WORDED = _valued(  # Beginnings of words: `zweiten`, `fourth` and `dreitägig` are found too.
    "2 two twice second zwei beide|3 three third drei dritt|4 four vier|5 five fifth fünf|6 six sechs|7 seven sieb|"
    "8 eight acht|9 nine ninth neun|10 ten zehn|11 eleven elf|12 twelve twelfth dozen zwölf dutzend|"
    "13 thirteen dreizehn|14 fourteen vierzehn|15 fifteen fünfzehn|16 sixteen sechzehn|17 seventeen siebzehn|"
    "18 eighteen achtzehn|19 nineteen neunzehn|20 twenty zwanzig|24 twenty-four vierundzwanzig|30 thirty dreißig|"
    "40 forty vierzig|48 forty-eight achtundvierzig|50 fifty fünfzig|60 sixty sechzig|70 seventy siebzig|"
    "80 eighty achtzig|90 ninety neunzig|100 hundred hundert|1000 thousand tausend"
)
_WORDED_PATTERN = re.compile(rf"\b(?:{'|'.join(sorted(_WORDED, key=len, reverse=True))})")
_MONTHS = _valued(
    "1 January Januar Jänner Jan|2 February Februar Feb|3 March März Mar|4 April Apr|5 May Mai|6 June Juni Jun|"
    "7 July Juli Jul|8 August Aug|9 September Sept Sep|10 October Oktober Oct Okt|11 November Nov|"
    "12 December Dezember Dec Dez"
)


def numbers(text: str) -> frozenset[str]:
    """Every number the text may be said to state: numerals in all their readings, number words, months, hours.

    0 and 1 are always among them: `none` and `a` state them.
    """
    text = _comparable(text)
    found = {"0", "1", *map(_plain, re.findall("[0-9]+", text))}
    found.update(*map(_readings, _NUMERAL.finditer(text)))
    found.update(*({str(int(hour) % 12), str(int(hour) % 12 + 12)} for hour in _HOUR.findall(text)))
    found.update(_WORDED[word] for word in _WORDED_PATTERN.findall(text.casefold()))
    # `may` and `mar` are words, `May` and `Mar` may be months.
    words = (word for word in re.findall(r"[^\W\d_]+", text) if word[0].isupper())
    return frozenset(found.union(_MONTHS[word.casefold()] for word in words if word.casefold() in _MONTHS))


def states_other_number(claim: str, known: frozenset[str]) -> bool:
    """Whether a numeral of the claim, also one within a code or a date, is none of the `numbers()` known."""
    claim = _LABEL.sub(" ", _comparable(claim))
    return any(_readings(one).isdisjoint(known) and not _in_parts(one, known) for one in _NUMERAL.finditer(claim))


def _in_parts(numeral: re.Match[str], known: frozenset[str]) -> bool:
    """Whether each group of digits is known by itself: dates and times are written in many ways."""
    groups = re.findall("[0-9]+", numeral["digits"])
    decimal = len(groups) == 2 and not {".", ","}.isdisjoint(numeral["digits"])
    return not decimal and all(_plain(group) in known for group in groups)


def _readings(numeral: re.Match[str]) -> set[str]:
    """What a numeral may mean: `1.200` is 1200 or 1.2, and `1.2 million` is also 1200000."""
    first, *rest = groups = re.findall("[0-9]+", numeral["digits"])
    found = set() if len(rest) == 1 else {".".join(map(_plain, groups))}
    if rest and all(len(group) == 3 for group in rest):
        found.add(_plain("".join(groups)))
    if rest and all(len(group) == 3 for group in rest[:-1]):
        found.add(f"{_plain(''.join([first, *rest[:-1]]))}.{rest[-1].rstrip('0')}".removesuffix("."))
    power = _POWERS.get(numeral.lastgroup or "")
    if power and len(numeral["digits"]) < 20:
        found |= {format(Decimal(one).scaleb(power), "f").partition(".")[0] for one in found if one.count(".") < 2}
    return found


def _plain(digits: str) -> str:
    return digits.lstrip("0") or "0"


def _comparable(text: str) -> str:
    """The text with ASCII digits only, and with the century in short dates."""
    ascii_digits = "".join(str(decimal(one)) if one.isdecimal() else one for one in text)
    return _SHORT_DATE.sub(r"\g<1>20\3", ascii_digits)
