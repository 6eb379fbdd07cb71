"""Which numbers a text states, and whether a claim states another one.

German and English, in every way they are commonly written: a wrong number makes a citation wrong, whatever the words.
A passage is read generously, for it states what it states; a claim strictly, for it must be found there. Checked are
numerals, number words from two on (`thirteen`, `zweihundert`), days of a year and times of a day; not ordinals,
fractions in words, or a month without a day.
"""

import re
from collections.abc import Iterable
from decimal import Decimal
from unicodedata import decimal

_NUMERAL = re.compile(
    r"(?P<digits>[0-9]{1,3}(?:[ \u00a0\u202f'’][0-9]{3})+(?![0-9])(?:[.,][0-9]+)?|[0-9]+(?:[.,:][0-9]+)*)"
    r"(?: ?(?:(?P<hundreds>hundred|hundert)|(?P<thousands>k|thousand|tausend|tsd)|"
    r"(?P<millions>million(?:en)?|mio)|(?P<metres>m)|(?P<billions>billion|bn|milliarden?|mrd))\b)?",
    re.IGNORECASE,
)
_POWERS = {"hundreds": 2, "thousands": 3, "millions": 6, "metres": 6, "billions": 9}
_SHORT_DATE = re.compile(r"\b([0-9]{1,2}([./-])[0-9]{1,2}\2)([0-9]{2})(?![0-9])")
# What numbers the claim instead of standing in it: `2.` before an item, `step 3`, `passage 1`.
_LABEL = re.compile(
    r"\A[\s>*_#•+-]*[0-9]{1,3}[.)](?=\s)|\b(?:steps?|schritte?|passagen?|passages|sources?|quellen?) [0-9]{1,3}\b",
    re.IGNORECASE,
)


def _valued(table: str) -> dict[str, str]:
    entries = (entry.split() for entry in table.casefold().split("|"))
    return {word: value for value, *words in entries for word in words}


def _listed(words: str) -> list[str]:
    return words.split()


def _any(words: Iterable[str]) -> str:
    return "|".join(sorted(words, key=len, reverse=True))


_WORDED = _valued(  # Beginnings of words: `zweiten`, `fourth` and `dreitägig` are found too.
    "2 two twice second zwei beide|3 three third drei dritt|4 four vier|5 five fifth fünf|6 six sechs|7 seven sieb|"
    "8 eight acht|9 nine ninth neun|10 ten zehn|11 eleven elf|12 twelve twelfth dozen zwölf dutzend|"
    "13 thirteen dreizehn|14 fourteen vierzehn|15 fifteen fünfzehn|16 sixteen sechzehn|17 seventeen siebzehn|"
    "18 eighteen achtzehn|19 nineteen neunzehn|20 twenty zwanzig|30 thirty dreißig|"
    "40 forty vierzig|50 fifty fünfzig|60 sixty sechzig|70 seventy siebzig|"
    "80 eighty achtzig|90 ninety neunzig|100 hundred hundert|1000 thousand tausend"
)
_WORDED_PATTERN = re.compile(rf"\b(?:{_any(_WORDED)})")

_ONES_EN = _listed(
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_ONES_DE = _listed(
    "ein zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn siebzehn "
    "achtzehn neunzehn"
)
_TENS_EN = _listed("twenty thirty forty fifty sixty seventy eighty ninety")
_TENS_DE = _listed("zwanzig dreissig vierzig fünfzig sechzig siebzig achtzig neunzig")
_BELOW_20 = {word: value for ones in (_ONES_EN, _ONES_DE) for value, word in enumerate(ones, 1)}
_CARDINALS = (
    _BELOW_20
    | {word: value * 10 for tens in (_TENS_EN, _TENS_DE) for value, word in enumerate(tens, 2)}
    | {f"{ten}-{one}": x * 10 + y for x, ten in enumerate(_TENS_EN, 2) for y, one in enumerate(_ONES_EN[:9], 1)}
    | {f"{one}und{ten}": x * 10 + y for x, ten in enumerate(_TENS_DE, 2) for y, one in enumerate(_ONES_DE[:9], 1)}
)
_MANY = _any(word for word, value in _CARDINALS.items() if value > 1)
# `one` and `ein` say no number, unless it is a hundred. What an answer counts itself is no number of the passage's.
_CARDINAL = re.compile(
    rf"(?<![\w-])(?=[^\W\d_])(?:(?P<hundreds>{_any(_CARDINALS)}|an?)[ -]?hund(?:red|ert)"
    rf"(?:[ -]?(?:and |und)?(?P<rest>{_MANY}))?"
    rf"|(?P<alone>{_MANY}))(?: ?(?:(?P<thousands>thousand|tausend)|(?P<millions>million(?:en)?|mio)|"
    r"(?P<billions>billion|milliarden?|mrd)))?(?![^\W_]|-(?:first|second|third|[a-z]{2,5}th\b(?<!month)))"
    r"(?! (?:kinds|types|ways|options|steps|conditions|cases|reasons|parts|passages|documents|sources|arten|wege"
    r"|möglichkeiten|schritte|bedingungen|voraussetzungen|fälle|gründe|teile|passagen|dokumente|quellen)\b)"
)

_MONTHS = _valued(
    "1 January Januar Jänner Jan|2 February Februar Feb|3 March März Mar|4 April Apr|5 May Mai|6 June Juni Jun|"
    "7 July Juli Jul|8 August Aug|9 September Sept Sep|10 October Oktober Oct Okt|11 November Nov|"
    "12 December Dezember Dec Dez"
)
_MONTH = _any(map(str.capitalize, _MONTHS))  # `may` and `mar` are words, `May` and `Mar` may be months.
_DAY = r"[0-3]?[0-9](?:st|nd|rd|th|\.)?"
_WORDED_DATE = re.compile(
    rf"(?<![0-9.,:/])(?P<days>{_DAY}(?: ?(?:-|–|to|bis|and|und|or|oder) ?{_DAY}){{0,3}})(?: of)? (?P<month>{_MONTH})\b"
    rf"|\b(?P<named>{_MONTH})\.? (?P<then>{_DAY}(?: ?(?:-|–|to|bis) ?{_DAY})?)(?![0-9:])"
)
_DATE = re.compile(
    r"(?<![0-9.,/-])(?:(?P<year>[0-9]{4})([./-])(?P<month>[0-9]{1,2})\2(?P<day>[0-9]{1,2})"
    r"|(?P<one>[0-9]{1,2})(?:([./-])(?P<other>[0-9]{1,2})\6(?P<century>[0-9]{4})|\.(?P<last>[0-9]{1,2})\.))(?![0-9])"
)
_SUFFIX = r"(?:[ap]\.?m|uhr|o['’]clock|h)\b"
_CLOCK = re.compile(
    r"(?<![0-9.:,])(?P<hour>[0-2]?[0-9])(?:[:.](?P<minute>[0-5][0-9])(?::[0-5][0-9])?)?(?![0-9:])"
    rf"(?: ?(?P<suffix>{_SUFFIX})(?: (?P<late>[0-5][0-9])\b)?)?",
    re.IGNORECASE,
)
_RANGE = re.compile(
    r"(?<![0-9.:,])([0-2]?[0-9])(?:[.:]([0-5][0-9]))? ?(?:-|–|to|bis|and|und) ?"
    rf"(?=[0-2]?[0-9](?:[.:][0-5][0-9])? ?{_SUFFIX})",
    re.IGNORECASE,
)
_WORDED_HOUR = re.compile(rf"\b({_any(_BELOW_20)})(?= (?:uhr|o['’]clock|[ap]\.?m)\b)", re.IGNORECASE)


def numbers(text: str) -> frozenset[str]:
    """Every number the text may be said to state: numerals in all their readings, number words, months, hours.

    Days and times stand among them whole as well, as `date 12-3` and `time 10:30`.
    """
    text = _comparable(text)
    found = set(map(_plain, re.findall("[0-9]+", text)))
    found.update(*(_values(one["digits"]) | _scaled(one) for one in _NUMERAL.finditer(text)))
    found.update(*(_cardinal(one) for one in _CARDINAL.finditer(text.casefold())))
    found.update(_WORDED[word] for word in _WORDED_PATTERN.findall(text.casefold()))
    found.update(_MONTHS[word.casefold()] for word in re.findall(rf"\b(?:{_MONTH})\b", text))
    found.update(*(_date(one) for one in _DATE.finditer(text)), *_worded_dates(text))
    for clock in _CLOCK.finditer(text):
        found.update(_times(clock))
        if clock["suffix"] or ":" in clock[0]:
            found.update((str(int(clock["hour"]) % 12), str(int(clock["hour"]) % 12 + 12)))
            found.update(_values(f"{clock['hour']}.{clock['minute'] or '00'}"))  # `8.30 to 9 Uhr` has one `Uhr` for two
    return frozenset(found.union(*(_hours(int(hour), "", {minute or "00"}) for hour, minute in _RANGE.findall(text))))


def states_other_number(claim: str, known: frozenset[str]) -> bool:
    """Whether a number of the claim, also one within a code or a date, is none of the `numbers()` known.

    0 and 1 alone state nothing: `none` and `a` may stand for them.
    """
    claim, moments = _without_moments(_LABEL.sub(" ", _comparable(claim)))
    if not all(_holds(names, parts, known) for names, parts in moments):
        return True
    stated = [_scaled(one) or _values(one["digits"]) for one in _NUMERAL.finditer(claim) if one[0] not in ("0", "1")]
    worded = [{max(_cardinal(one), key=int)} for one in _CARDINAL.finditer(claim.casefold())]
    return any(values.isdisjoint(known) for values in stated + worded)


_Moments = list[tuple[set[str], list[str]]]
"""For each day or time its possible names, and the numbers it is made of."""


def _without_moments(claim: str) -> tuple[str, _Moments]:
    """The claim without what makes its days and times, and these."""
    moments: _Moments = [(names, []) for names in _worded_dates(claim)]

    def day(match: re.Match[str]) -> str:
        if not (names := _date(match)):
            return match[0]
        short = _values(f"{match['one']}.{match['last']}") if match["last"] else set()  # `3.12.` may end a sentence
        moments.append((names | short, [part for part in match.group("month", "day", "one", "other", "last") if part]))
        return f" {match['year'] or match['century'] or ''} "

    def time(match: re.Match[str]) -> str:
        names = _times(match) if match["minute"] or match["late"] else set()
        if not names:
            return match[0]
        minutes = [one for one in match.group("minute", "late") if one not in (None, "00")]
        moments.append((names, [match["hour"], *minutes]))
        return " "

    return _CLOCK.sub(time, _DATE.sub(day, claim)), moments


def _holds(names: set[str], parts: list[str], known: frozenset[str]) -> bool:
    """Whether the day or time is known; where no other is, its parts suffice: they may stand in a table's columns."""
    kind = next(name.partition(" ")[0] for name in sorted(names, reverse=True))
    alone = not any(one.startswith(kind) for one in known)
    return not names.isdisjoint(known) or (alone and all(_plain(part) in known for part in parts))


def _date(match: re.Match[str]) -> set[str]:
    """The names of a date in figures: day before month, or month before day. Without the year."""
    one, other = match["one"] or match["month"], match["other"] or match["last"] or match["day"]
    pairs = [(one, other)] if match["year"] else [(one, other), (other, one)]
    return {f"date {int(month)}-{int(day)}" for month, day in pairs if 1 <= int(month) <= 12 and 1 <= int(day) <= 31}


def _worded_dates(text: str) -> list[set[str]]:
    """The name of each day that is written with its month's name: two in `3–5 December`."""
    return [
        {f"date {_MONTHS[(match['month'] or match['named']).casefold()]}-{_plain(day)}"}
        for match in _WORDED_DATE.finditer(text)
        for day in re.findall("[0-9]+", match["days"] or match["then"])
    ]


def _times(match: re.Match[str]) -> set[str]:
    """The names of a time of day, none for what is only a number or a duration."""
    suffix = (match["suffix"] or "").casefold()
    if suffix == "h" or not (suffix or ":" in match[0]):
        return set() if ":" not in match[0] else _hours(int(match["hour"]), "", {match["minute"]})
    return _hours(int(match["hour"]), suffix, {match["minute"] or "00", match["late"] or match["minute"] or "00"})


def _hours(hour: int, suffix: str, minutes: set[str]) -> set[str]:
    """Names on the 24-hour clock; without `am`, `pm` or `Uhr` an hour up to twelve may be either half of the day."""
    if suffix[:1] in ("a", "p"):
        hours = {hour % 12 + 12 * (suffix[0] == "p")}
    elif suffix == "uhr" or not 1 <= hour <= 12:
        hours = {hour % 24}
    else:
        hours = {hour % 12, hour % 12 + 12}
    return {f"time {one}:{minute}" for one in hours for minute in minutes}


def _values(digits: str) -> set[str]:
    """What digits may mean: `1.200` is 1200 or 1.2, but `1.000` is 1000 alone."""
    first, *rest = groups = re.findall("[0-9]+", digits)
    if not rest or ":" in digits:
        return {":".join(map(_plain, groups))}
    found = set[str]()
    if thousands := first[0] != "0" and all(len(group) == 3 for group in rest):
        found.add("".join(groups))
    split = digits[-len(rest[-1]) - 1] in ".," and all(len(group) == 3 for group in rest[:-1])
    if split and not (thousands and rest[-1] == "000"):
        found.add(f"{_plain(''.join([first, *rest[:-1]]))}.{rest[-1].rstrip('0')}".removesuffix("."))
    return found if thousands or (len(rest) == 1 and found) else found | {".".join(map(_plain, groups))}


def _scaled(numeral: re.Match[str]) -> set[str]:
    """The values of a numeral before a power of ten; for `5 m`, which may be metres, also 5. Empty without one."""
    power = _POWERS.get(numeral.lastgroup or "")
    if power is None or len(numeral["digits"]) >= 20:
        return set()
    values = {one for one in _values(numeral["digits"]) if one.count(".") < 2 and ":" not in one}
    scaled = {format(Decimal(one).scaleb(power), "f").partition(".")[0] for one in values}
    return scaled | values if numeral.lastgroup == "metres" else scaled


def _cardinal(match: re.Match[str]) -> set[str]:
    """A number in words: itself, and times the power of ten behind it."""
    if match["hundreds"]:
        value = _CARDINALS.get(match["hundreds"], 1) * 100 + _CARDINALS.get(match["rest"] or "", 0)
    else:
        value = _CARDINALS[match["alone"]]
    return {str(value), str(value * 10 ** next((_POWERS[one] for one in _LARGE if match[one]), 0))}


_LARGE = ("thousands", "millions", "billions")


def _plain(digits: str) -> str:
    return digits.lstrip("0") or "0"


def _comparable(text: str) -> str:
    """The text with ASCII digits only, with the century in short dates, and whole hours in figures."""
    if not text.isascii():
        text = "".join(str(decimal(one)) if one.isdecimal() else one for one in text)
    dated = _SHORT_DATE.sub(r"\g<1>20\3", text)
    return _WORDED_HOUR.sub(lambda hour: str(_BELOW_20[hour[1].casefold()]), dated)
