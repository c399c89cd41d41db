"""What is personal data and what is not, on texts: found, left alone, masked, listed in rosters."""

import builtins
import re
import socket
from itertools import pairwise

import duckdb
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from preceptor.schemas.errors import PrivacyError
from preceptor.toolkit.privacy.recognisers import KINDS, LIKELY, Finding, Wanted, make_finder, mask
from preceptor.toolkit.privacy.roster import read_roster
from preceptor.toolkit.privacy.scan import cut_excerpt

WANTED = Wanted(names=("Zofia", "Zofia Nowak", "Müller", "Олена"), student_number=r"\bS\d{6}\b")

# Text, kind, what stands there. Numbers are those set aside for examples, or made up.
POSITIVES = [
    ("write to zofia.nowak@school.org please", "email", "zofia.nowak@school.org"),
    ("my mail : z_n+1@uni.edu.pl", "email", "z_n+1@uni.edu.pl"),
    ("R:OTHER|||zofia@school.org|||", "email", "zofia@school.org"),
    ("mail='o'neil@school.org'", "email", "o'neil@school.org"),
    ("a@sub.example.co.uk, thanks", "email", "a@sub.example.co.uk"),
    ("see https://example.org/me?id=7#top.", "url", "https://example.org/me?id=7#top"),
    ("(see http://localhost:8080/zofia)", "url", "http://localhost:8080/zofia"),
    ("my page is www.zofia-writes.de!", "url", "www.zofia-writes.de"),
    ("I bought it at Example.com yesterday", "url", "Example.com"),
    ("look at mysite.org/about , it is mine", "url", "mysite.org/about"),
    ("find me at t.me/zofia_n", "url", "t.me/zofia_n"),
    ("https://школа.укр/учні", "url", "https://школа.укр/учні"),
    ("from 192.168.12.77 again", "ip", "192.168.12.77"),
    ("2001:db8:85a3::8a2e:370:7334", "ip", "2001:db8:85a3::8a2e:370:7334"),
    ("pay to DE89 3704 0044 0532 0130 00 now", "iban", "DE89 3704 0044 0532 0130 00"),
    ("UA213223130000026007233566001", "iban", "UA213223130000026007233566001"),
    ("card 4111 1111 1111 1111.", "card", "4111 1111 1111 1111"),
    ("5500-0000-0000-0004", "card", "5500-0000-0000-0004"),
    ("ring (202) 555-0143 tonight", "phone", "(202) 555-0143"),
    ("202-555-0143", "phone", "202-555-0143"),
    ("at ( 202 ) 555 - 0143 .", "phone", "( 202 ) 555 - 0143"),
    ("7,202-555-0143,x", "phone", "202-555-0143"),
    ("+44 20 7946 0958", "phone", "+44 20 7946 0958"),
    ("мій: +380 67 123 45 67", "phone", "+380 67 123 45 67"),
    ("0671234567", "phone", "0671234567"),
    ("my phone number is 2025550143", "phone", "2025550143"),
    ("call me : 202 555 0143", "phone", "202 555 0143"),
    ("Моб. тел: 0671234567", "phone", "0671234567"),
    ("minu telefon on 5123 4567", "phone", "5123 4567"),
    ("I am Zofia Nowak.", "name", "Zofia Nowak"),
    ("(Zofia's dog)", "name", "Zofia"),
    ("Herr Müller kommt", "name", "Müller"),
    ("Це Олена, моя подруга", "name", "Олена"),
    ("number S123456 is me", "student-number", "S123456"),
]

NEGATIVES = [
    "180 - 63.33 - 60 = 56.67 degrees",
    "She has 23786 - 17509 = 6277 left",
    "1250 - 200 - 700 = 350$",
    "18000/900=20 days",
    "251-68-44-85=54",
    "(0.35/1 - 0.35)",
    "4/12 - 4/12 - 3/12",
    "2000+1200=3200 dollars",
    "The phone costs 4000-2000 dollars",
    "Jean paid 6000-600=$5400 for 12 phones",
    "6.666666666666667 fries",
    "<<6.666666666666667+1.666666666666667=8.333333333333334>>",
    "it is 1256.6370614359173",
    "0.393701 inches",
    "3.14",
    "pi is 3.14159265358979",
    "3,1415926535897",
    "from 1939 to 1945",
    "in 2021-03-04 and 04.03.2021",
    "at 12:30:45 or 8:15",
    "MW 0800 - 1700 each week",
    "1 , 2 , 3 , 4 , 5 , 6 , 7 , 8 , 9 , 10",
    "10 20 30 40 50 60 70 80",
    "415 200 3000",
    "1.5, 2.25, 3.125, 4.0625",
    "$1,234,567.89",
    "3000000",
    "2895106109",
    "1555257235.0756335",
    "35000-45000 рублей",
    "f(x) = 2x + 1000000",
    "10 ** 1234567",
    "version 10.0.19.1",
    "v2.14.0.19",
    "section 1.2.3.4",
    "127.0.0.1",
    "a[::2] and a[1::2]",
    "std::string",
    "::",
    "e.g. this, i.e. that, a.m., p.m., U.S.A.",
    "main.py and run.sh",
    "pictures/cat_on_pink_bed.png",
    "etc.and so",
    "There is a problem.To find it",
    "I went home.it was late.so I slept",
    "result.append(x)",
    "math.isclose(a, b)",
    "obj.net(x) and self.org = 1",
    "4.6D.Classifying 2D Figures",
    "3.1G.Shapes",
    "and/or he/she",
    "km/h",
    "@home we say user@host",
    "a @ b",
    "5 @ 3.50",
    "zofia went home",
    "ZOFIA",
    "Zofianka",
    "Muller",
    "Олени немає",
    "XS123456 S1234567 s123456",
    "DE89 3704 0044 0532 0130 01",
    "4111 1111 1111 1112",
    "",
]


@pytest.fixture(scope="module")
def find():
    return make_finder(WANTED)


@pytest.mark.parametrize(("text", "kind", "expected"), POSITIVES, ids=[t for t, _, _ in POSITIVES])
def test_finds(find, text, kind, expected):
    assert [(f.kind, text[f.start : f.end]) for f in find(text)] == [(kind, expected)]


@pytest.mark.parametrize("text", NEGATIVES)
def test_leaves_alone(find, text):
    assert find(text) == []


def test_what_sql_lets_through_is_all_that_is_found(find):
    """RE2 in DuckDB and regex in Python read the same patterns: nothing is lost before Presidio."""
    with duckdb.connect() as con:
        for text, kind, _ in POSITIVES:
            for pattern in LIKELY.get(kind, ()):
                sql = f"SELECT regexp_matches($1, '{pattern}')"
                assert con.execute(sql, [text]).fetchall() == [(True,)], (text, pattern)


pieces = st.one_of(
    st.sampled_from([text for text, _, _ in POSITIVES] + NEGATIVES),
    st.sampled_from([*"0123456789.,-/@: ()<>+=", "  ", "\n", "www.", "://", ".com", "<EMAIL>", "call", "::"]),
    st.text(max_size=8),
)
texts = st.lists(pieces, max_size=8).map("".join)


@given(texts)
@example("S123456S123456")
@example("202-555-0143202-555-0143")
def test_masking_takes_what_was_found_and_nothing_else(text):
    find = _cached_find()
    found, masked = find(text), mask(text, find)
    assert find(masked) == []
    assert mask(masked, find) == masked
    assert len(masked.split(" ")) == len(text.split(" "))
    assert re.findall("[^ ]+| {2,}", masked).count("  ") == re.findall("[^ ]+| {2,}", text).count("  ")
    if not found:
        assert masked == text
    assert all(a.end <= b.start for a, b in pairwise(found))
    assert all(0 <= f.start < f.end <= len(text) and 0 < f.score <= 1 and f.kind in KINDS for f in found)
    # What stands between the findings is there still, in order, unless it became one itself.
    rest = re.split(f"<(?:{'|'.join(k.upper() for k in KINDS)})>", masked)
    assert is_subsequence("".join(rest), text)


_FIND = []


def _cached_find():
    return _FIND[0] if _FIND else _FIND.append(make_finder(WANTED)) or _FIND[0]


def is_subsequence(short, long):
    rest = iter(long)
    return all(character in rest for character in short)


def test_masking_goes_word_by_word(find):
    assert (
        mask("Zofia Nowak : +44 20 7946 0958 .", find) == "<NAME> <NAME> : <PHONE> <PHONE> <PHONE> <PHONE> ."
    )
    assert mask("<EMAIL>, S123456", find) == "<EMAIL>, <STUDENT-NUMBER>"
    greedy = make_finder(Wanted(kinds=["student-number"], student_number=r"(?<!\d)\d{4}|[A-Z]+"))
    assert greedy(mask("12345678 AB", greedy)) == []


def test_what_was_masked_is_not_found_again():
    greedy = make_finder(Wanted(names=("EMAIL", "NAME"), student_number=r"<.*>"))
    assert greedy("<EMAIL> <NAME>") == []


def test_nothing_asks_the_network(monkeypatch):
    def refuse(*_):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    find = make_finder(WANTED)
    for text, kind, _ in POSITIVES:
        assert [f.kind for f in find(text)] == [kind]


def test_only_what_is_wanted():
    find = make_finder(Wanted(kinds=["email"]))
    assert [f.kind for f in find("a@school.org and +44 20 7946 0958")] == ["email"]
    abroad, here = make_finder(Wanted(regions=["GB"])), make_finder(Wanted(regions=["US"]))
    assert (len(here("my phone: 2025550143")), len(abroad("my phone: 2025550143"))) == (1, 0)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (Wanted(regions=["XX"]), "'XX' is no region"),
        (Wanted(student_number="(["), "mend the pattern"),
        (Wanted(student_number=r"\d*"), "matches no character at all"),
    ],
)
def test_what_cannot_be_searched_for(wanted, said):
    with pytest.raises(PrivacyError, match=re.escape(said)):
        make_finder(wanted)


def test_without_the_extra_the_message_names_it(monkeypatch):
    real = builtins.__import__

    def without(name, *rest, **more):
        if name.startswith("presidio_analyzer"):
            raise ModuleNotFoundError(f"No module named '{name}'")
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(PrivacyError, match=re.escape("pip install 'preceptor[privacy]'")):
        make_finder(Wanted())


@pytest.mark.parametrize(
    ("name", "content", "names"),
    [
        ("r.txt", "Zofia Nowak\n\n  Ben \nBen\n", ["Zofia Nowak", "Ben"]),
        ("r.txt", "\ufeffO'Neil, Rose\r\nLi\r\n", ["O'Neil, Rose", "Li"]),
        ("r.csv", 'group,Name\n7a,Zofia Nowak\n7b,\n7c,"Li, Mei"\n', ["Zofia Nowak", "Li, Mei"]),
        ("r.csv", "first_name;last_name\nZofia;Nowak\nBen\n", ["Zofia", "Nowak", "Ben"]),
        ("r.tsv", "id\tname\n1\tZofia\n", ["Zofia"]),
    ],
)
def test_rosters(tmp_path, name, content, names):
    (tmp_path / name).write_text(content, encoding="utf-8")
    assert read_roster(tmp_path / name) == names


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("r.txt", b"\n\n", "holds no names"),
        ("r.txt", b"Zofia\nB\n", "r.txt:2: 'B' is one letter"),
        ("r.csv", b"who\nZofia\n", "has no column name, first_name, last_name"),
        ("r.txt", b"\xff\xfe", "not UTF-8"),
        ("none.txt", None, "No such file"),
    ],
)
def test_what_is_no_roster(tmp_path, name, content, said):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(PrivacyError, match=re.escape(said)):
        read_roster(tmp_path / name)


def test_excerpts_never_show_a_finding(find):
    text = "x" * 50 + "\nwrite to zofia@school.org or +44 20 7946 0958 " + "y" * 50
    found = find(text)
    shown = cut_excerpt(text, found, found[0])
    assert shown == "…" + "x" * 20 + " write to z…[16] or +…[16] " + "y" * 9 + "…"
    assert (
        cut_excerpt("S123456", [Finding("student-number", 0, 7, 1.0)], Finding("student-number", 0, 7, 1.0))
        == "S…[7]"
    )
