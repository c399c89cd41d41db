"""Find personal data in one text by Microsoft Presidio's recognisers, filtered by rules.

    "write to anna@school.org" -> email, from 9 to 24, score 1.0

Only recognisers that need neither a model nor the network: patterns with checksums, libphonenumber,
lists of names. Learners write sums, code, and sentences without a space after the full stop, so each
kind has a rule that selects among Presidio's findings; docs/safety/privacy.md has the measured results.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from ipaddress import ip_interface
from typing import TYPE_CHECKING, Any, NamedTuple

from ...schemas.errors import PrivacyError

if TYPE_CHECKING:
    from presidio_analyzer import EntityRecognizer

KINDS = ("email", "url", "ip", "iban", "card", "phone", "name", "student-number")
REGIONS = ("US", "GB", "DE", "FR", "ES", "IT", "PL", "UA", "RU", "EE", "IN")

_GAP = r"[-x\p{Pd}\p{Zs}().\[\]/~−]{0,4}"  # characters that libphonenumber allows between digits
_SPACE = r"[\s\p{Zs}]?"
_CALLING = (
    r"(?i:phone|mobile|\btel\b|\bcall|\bmy (?:new )?number|\btext me|whatsapp|viber|telegram|\bsms\b|"
    r"\bfax\b|telef|móvil|cellulare|helista|телефон|(?:^|[^\p{L}])тел[.: ]|мобіль|мобил|дзвон|звон)"
)
# Suffixes that end a bare domain, without common words (it, is, de, so), which may follow a full stop.
_COMMON = ("com", "org", "net", "edu", "gov", "uk", "ua", "ru", "fr", "pl", "ee", "eu", "nl", "cz", "fi")
# Patterns that a text must contain before a recogniser reads it. They mean the same in DuckDB's RE2 and in
# Python's regex; almost no ordinary sentence matches.
LIKELY: dict[str, tuple[str, ...]] = {
    "email": ("@",),
    "url": (rf"://|[wW]{{3}}[0-9]{{0,3}}\.|\.(?i:{'|'.join(_COMMON)})|\.[A-Za-z]{{2,}}/",),
    "ip": (r"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]|::|(?:[0-9A-Fa-f]{1,4}:){6}",),
    "iban": (r"[A-Z]{2}[0-9]{2}[ -]?[A-Z0-9]{4}",),
    "card": (r"[0-9](?:[ -]?[0-9]){11}",),
    "phone": (
        rf"\p{{Nd}}(?:{_GAP}\p{{Nd}}){{6}}",
        rf"\+{_SPACE}\(?[1-9]|(?:^|[^0-9.,])0[0-9]|\({_SPACE}[0-9]{{2,5}}{_SPACE}\)|"
        rf"[0-9]{{3}}{_SPACE}[-.)\p{{Pd}}]{_SPACE}[0-9]{{3}}{_SPACE}[-. \p{{Pd}}]{_SPACE}[0-9]{{4}}|"
        rf"{_CALLING}",
    ),
}
_PLACEHOLDER = f"<(?:{'|'.join(kind.upper() for kind in KINDS)})>"

_NEAR = 40  # characters beside a number that are searched for words such as phone
_BOOST = 0.35  # what Presidio adds to the score of a finding beside such a word


class Finding(NamedTuple):
    """Personal data in a text: kind, start and end (characters, half-open), and score, 0 to 1."""

    kind: str
    start: int
    end: int
    score: float


Finder = Callable[[str], list[Finding]]
Rule = Callable[[str, Finding], Finding | None]


@dataclass(frozen=True)
class Wanted:
    """The kinds of personal data to look for."""

    kinds: Sequence[str] = KINDS
    regions: Sequence[str] = REGIONS
    names: Sequence[str] = ()
    student_number: str = ""


def make_finder(wanted: Wanted) -> Finder:
    """Make a function from a text to its findings, in order, without overlaps.

    Raises PrivacyError without Presidio, and for an invalid region or pattern.
    """
    recognizers = _recognizers(wanted)
    import regex

    likely = {kind: [regex.compile(p).search for p in patterns] for kind, patterns in LIKELY.items()}
    placeholders = regex.compile(_PLACEHOLDER).finditer

    def find(text: str) -> list[Finding]:
        found: list[Finding] = []
        for kind, recognizer in recognizers.items():
            if all(search(text) for search in likely.get(kind, ())):
                found += _judged(kind, recognizer, text)
        masked = [place.span() for place in placeholders(text)]
        return [f for f in _merged(found) if any(_unmasked(text, f, masked))]

    return find


def mask(text: str, find: Finder) -> str:
    """Replace the words of every finding by <EMAIL>, <PHONE>, <NAME> …

    Word by word, so that a sentence keeps its number of tokens. Masking repeats until nothing is found: a
    masked word may uncover another finding.
    """
    import regex

    while found := find(text):
        masked = [place.span() for place in regex.finditer(_PLACEHOLDER, text)]
        pieces, done = [], 0
        for finding in found:
            for start, end in _unmasked(text, finding, masked):
                pieces += [text[done:start], f"<{finding.kind.upper()}>"]
                done = end
        text = "".join(pieces) + text[done:]
    return text


def _unmasked(text: str, found: Finding, masked: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield the words of a finding, without placeholders that are there already."""
    import regex

    start = found.start
    inside = [place for place in masked if place[0] < found.end and place[1] > found.start]
    for first, last in [*inside, (found.end, found.end)]:
        for word in regex.finditer(r"\S+", text, pos=start, endpos=max(start, first)):
            yield word.span()
        start = max(start, last)


def _merged(found: list[Finding]) -> list[Finding]:
    """Merge findings that overlap: from the first to the last character, of the longest one's kind."""
    merged: list[Finding] = []
    longest = 0
    for one in sorted(found, key=lambda f: (f.start, -f.end)):
        if not merged or one.start >= merged[-1].end:
            merged.append(one)
            longest = one.end - one.start
            continue
        last = merged[-1]
        kind, score = (one.kind, one.score) if one.end - one.start > longest else (last.kind, last.score)
        longest = max(longest, one.end - one.start)
        merged[-1] = Finding(kind, last.start, max(last.end, one.end), score)
    return merged


def _judged(kind: str, recognizer: "EntityRecognizer", text: str) -> Iterator[Finding]:
    """Yield Presidio's findings that pass this kind's rule."""
    rule = _RULES.get(kind)
    no_words: Any = None  # results of a language model, which these recognisers do not need
    for result in recognizer.analyze(text, recognizer.supported_entities, no_words):
        found = Finding(kind, result.start, result.end, result.score)
        counts = rule(text, found) if rule else found
        if counts:
            yield counts


def _recognizers(wanted: Wanted) -> dict[str, "EntityRecognizer"]:
    try:
        from presidio_analyzer import PatternRecognizer
        from presidio_analyzer import predefined_recognizers as ready
    except ImportError as error:
        raise PrivacyError(f"scan needs Presidio ({error}): pip install 'preceptor[privacy]'") from error
    _check_regions(wanted.regions)
    # Presidio's own e-mail recogniser would download the list of suffixes: see _suffix.
    email = PatternRecognizer("EMAIL_ADDRESS", patterns=list(ready.EmailRecognizer.PATTERNS))
    made: dict[str, EntityRecognizer] = {
        "email": email,
        "url": ready.UrlRecognizer(patterns=_url_patterns()),
        "ip": ready.IpRecognizer(),
        "iban": ready.IbanRecognizer(),
        "card": ready.CreditCardRecognizer(),
        "phone": ready.PhoneRecognizer(supported_regions=wanted.regions),
    }
    if wanted.names:
        made["name"] = _listed(wanted.names)
    if wanted.student_number:
        made["student-number"] = _patterned(wanted.student_number)
    return {kind: made[kind] for kind in wanted.kinds if kind in made}


def _check_regions(regions: Sequence[str]) -> None:
    from phonenumbers import SUPPORTED_REGIONS

    for region in regions:
        if region not in SUPPORTED_REGIONS:
            raise PrivacyError(f"--region: '{region}' is no region; expected a code such as {REGIONS[0]}")


def _url_patterns() -> list[Any]:
    """Presidio's pattern of bare domains; with :// or www, everything up to a space or a quote."""
    from presidio_analyzer import Pattern
    from presidio_analyzer.predefined_recognizers import UrlRecognizer

    bare = next(p for p in UrlRecognizer.PATTERNS if p.name == "Non schema URL")
    return [
        Pattern("with scheme", r"(?:https?|ftp)://[^\s<>\"']+", 0.6),
        Pattern("www", r"(?<![\w.])www\d{0,3}\.[^\s<>\"'.]+\.[^\s<>\"']+", 0.6),
        Pattern("bare", bare.regex, bare.score),
    ]


def _listed(names: Sequence[str]) -> "EntityRecognizer":
    """Find listed names as whole words, in the same case; at each place the longest name."""
    import regex
    from presidio_analyzer import PatternRecognizer

    return PatternRecognizer(
        "PERSON",
        deny_list=sorted(set(names), key=len, reverse=True),
        global_regex_flags=regex.DOTALL | regex.MULTILINE,
    )


def _patterned(expression: str) -> "EntityRecognizer":
    import regex
    from presidio_analyzer import Pattern, PatternRecognizer

    try:
        pattern = Pattern("student number", expression, 1.0)
    except ValueError as error:
        raise PrivacyError(f"--student-number: '{expression}': {error}; mend the pattern") from error
    if regex.search(expression, "") is not None:
        raise PrivacyError(
            f"--student-number: '{expression}' matches no character at all; say at least how many digits"
        )
    return PatternRecognizer(
        "STUDENT_NUMBER", patterns=[pattern], global_regex_flags=regex.DOTALL | regex.MULTILINE
    )


@cache
def _suffixes() -> Callable[[str], Any]:
    """The packaged list of public suffixes: tldextract.extract would download a newer one."""
    from tldextract import TLDExtract

    return TLDExtract(cache_dir=None, suffix_list_urls=())


def _suffix(host: str) -> str:
    """Public suffix of a domain: co.uk of school.co.uk; empty if there is none."""
    found = _suffixes()(host)
    return str(found.suffix) if found.domain else ""


def _email(text: str, found: Finding) -> Finding | None:
    """Accept e-mail addresses of registered domains; cut prefixes that no mailbox has: ||| of M2, mail=."""
    import regex

    box, _, host = text[found.start : found.end].rpartition("@")
    written = regex.search(r"(?:\w[\w.+'~-]*|[\w.+~-]+)$", box)
    if not written or not _suffix(host):
        return None
    return found._replace(start=found.start + written.start(), score=1.0)


def _url(text: str, found: Finding) -> Finding | None:
    """Accept URLs with :// or www, without trailing punctuation, and bare domains."""
    import regex

    url = text[found.start : found.end].rstrip(".,;:!?)]}*_`|")
    found = found._replace(end=found.start + len(url))
    if regex.match(r"(?:https?|ftp)://.|www\d{0,3}\.", url):
        return found
    host, _, path = url.partition("/")
    labels = _suffix(host).split(".")
    usual = labels[-1].lower() in _COMMON and (labels[-1].islower() or url.isupper())
    if not labels[-1] or not (usual or len(path) > 3):
        return None
    beside = text[found.start - 1 : found.start], text[found.end :]
    if regex.fullmatch(r"[\w/.\\$]", beside[0]) or regex.match(r"\w|\s*=|[(\[]|\.\w", beside[1]):
        return None  # a file, a piece of code, or the start of a longer word
    return found


def _ip(text: str, found: Finding) -> Finding | None:
    """Accept IP addresses, except ::2 (a slice), 1.2.3.4 (a section), v10.0.19.1 (a version) and loopback."""
    import regex

    written = text[found.start : found.end]
    address = ip_interface(written.partition("%")[0]).ip
    if address.is_loopback or address.is_unspecified:
        return None
    if address.version == 4 and all(len(part) == 1 for part in written.split(".")):
        return None
    if address.version == 6 and len(regex.findall("[0-9A-Fa-f]+", written)) < 3:
        return None
    version = regex.search(r"(?i)(?:\bv|version|release|section|chapter|§)[\s:.]*$", text[: found.start])
    return None if version or _in_a_number(text, found) else found


def _card(text: str, found: Finding) -> Finding | None:
    digits = set(filter(str.isdigit, text[found.start : found.end]))
    return None if _in_a_number(text, found) or len(digits) == 1 else found


def _phone(text: str, found: Finding) -> Finding | None:
    """Accept numbers in the form of phone numbers, unlike numbers in sums, or beside a word such as phone."""
    import regex

    if _in_a_number(text, found) or _in_a_sum(text, found):
        return None
    before, after = text[max(0, found.start - _NEAR) : found.start], text[found.end : found.end + _NEAR]
    number = regex.sub(r"\s*([-.\p{Pd}()/])\s*", r"\1", text[found.start : found.end]).strip()
    difference = regex.fullmatch(r"[1-9]\d{0,4}[-/\p{Pd}][1-9]\d{0,4}", number)
    if not difference and (regex.search(_CALLING, before) or regex.search(_CALLING, after)):
        return found._replace(score=found.score + _BOOST)
    digits = regex.sub(r"\P{Nd}", "", number)
    american = regex.fullmatch(r"1?[-. ]?(?:\(\d{3}\) ?|\d{3}[-.])\d{3}[-. ]\d{4}", number)
    # A trunk prefix; but 0800-1700 is a time of day.
    trunk = 10 <= len(digits) <= 13 and regex.match(r"\(?0(?!\d{3}-\d{4}\b)", number)
    return found if number.startswith("+") or american or trunk else None


def _in_a_number(text: str, found: Finding) -> bool:
    """True if these digits belong to a longer number, such as the decimals of 6.66666666666."""
    import regex

    before, written, after = text[: found.start], text[found.start : found.end], text[found.end :]
    if not regex.fullmatch(r"[\d.]*", written):
        return False
    inside = regex.fullmatch(r"\d*\.\d+", written) or regex.match(r"[.,]?\d", after)
    return bool(inside or regex.search(r"\d[.,]?$|(?:^|\W)\.$", before[-2:]))


def _in_a_sum(text: str, found: Finding) -> bool:
    import regex

    sign = r"[=*/×÷^<>$€£₴%\\]"
    return bool(
        regex.search(rf"(?:{sign}|\d\s*[-+−])\s*$", text[: found.start])
        or regex.match(rf"\s*(?:{sign}|[-+−]\s*\d)", text[found.end :])
    )


_RULES: dict[str, Rule] = {"email": _email, "url": _url, "ip": _ip, "card": _card, "phone": _phone}
