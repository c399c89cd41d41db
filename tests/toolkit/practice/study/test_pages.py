"""The pages under attack, and in five languages: one server for all tests of this file."""

import json
import re
import string
import xml.etree.ElementTree as ET

import httpx
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from places import ROOT
from studying import Learner, prepare, serving

from preceptor.toolkit.practice.study.pages.guard import Rates, is_known_host
from preceptor.toolkit.practice.study.pages.teacher_pages import defuse_cell
from preceptor.toolkit.practice.study.pages.text.formulas import write_mathml
from preceptor.toolkit.practice.study.pages.text.guidelines import render_guidelines
from preceptor.toolkit.practice.study.pages.text.rich_text import render_text

FOLDER = ROOT / "toolkit/practice/study/pages/words"


def read_catalogues(folder):
    return {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in folder.glob("*.yaml")}


WORDS = read_catalogues(FOLDER)


@pytest.mark.parametrize("folder", [FOLDER, FOLDER / "campaign"], ids=["study", "campaign"])
def test_every_language_has_every_word_and_its_places(folder):
    catalogues = read_catalogues(folder)
    places = {
        language: {
            key: sorted(f[1] for f in string.Formatter().parse(text) if f[1]) for key, text in words.items()
        }
        for language, words in catalogues.items()
    }
    assert set(catalogues) == {"en", "de", "ru", "uk", "et"}
    for language, found in places.items():
        assert found == places["en"], language
    for language, words in catalogues.items():
        same = [
            key
            for key, text in words.items()
            if language != "en" and text == catalogues["en"][key] and len(text) > 6
        ]
        assert same == [], language


@given(st.text(max_size=60) | st.text("<>&\"'$`*\\(){}[]^_x1\n", max_size=40))
def test_no_text_is_ever_markup(text):
    shown = str(render_text(text))
    tags = set(re.findall(r"</?([a-zA-Z]+)", shown))
    own = {
        "p",
        "br",
        "pre",
        "code",
        "strong",
        "em",
        "math",
        "mrow",
        "mn",
        "mi",
        "mo",
        "mfrac",
        "msqrt",
        "msup",
        "msub",
        "msubsup",
        "mtext",
    }
    assert tags <= own
    assert not re.search(r"<[^>]*\son\w+=", shown)


@given(st.text(max_size=60) | st.text("<>&\"'`*#-+1. \n\t|a", max_size=60))
def test_no_guideline_is_ever_markup(text):
    shown = str(render_guidelines(text))
    tags = set(re.findall(r"</?([a-zA-Z]\w*)", shown))
    own = {
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "ul",
        "ol",
        "li",
        "p",
        "div",
        "table",
        "tr",
        "td",
        "th",
        "pre",
        "code",
        "strong",
        "em",
        "br",
    }
    assert tags <= own | {tag for tag in tags if tag.startswith("m")}
    for tag in ("ul", "ol", "li"):
        assert shown.count(f"<{tag}>") + shown.count(f"<{tag} ") == shown.count(f"</{tag}>")
    # No word is lost, however the lines are read; only the language of code is.
    bare = (
        "a" * text.count("a") if "```" in text else re.sub(r"[^a]", "", re.sub(r"<[^>]*>|&\w+;", "", shown))
    )
    assert len(bare) == text.count("a")


def test_guidelines_are_read_as_markdown():
    text = "# One\n\nTwo\nlines.\n\n1. first\n   goes on\n   - *inner*\n2. second\n\n- **apart**\n\n| x | y |\n| - | - |\n| 1 | *2* |"
    assert re.sub(' dir="auto"', "", str(render_guidelines(text))) == (
        "<h2>One</h2><p>Two lines.</p><ol><li>first goes on<ul><li><em>inner</em></li></ul></li><li>second</li></ol>"
        '<ul><li><strong>apart</strong></li></ul><div class="wide"><table><tr><th>x</th><th>y</th></tr>'
        "<tr><td>1</td><td><em>2</em></td></tr></table></div>"
    )


@pytest.mark.parametrize(
    ("source", "has"),
    [
        (r"x^2 + \frac{1}{2}", "<mfrac><mrow><mn>1</mn></mrow><mrow><mn>2</mn></mrow></mfrac>"),
        (r"\sqrt{y_1} \le \pi", "<msqrt>"),
        (r"a < b", "<mo>&lt;</mo>"),
        (r"\text{speed} = 5", "<mtext>speed</mtext>"),
    ],
)
def test_formulas_are_mathml(source, has):
    made = str(write_mathml(source))
    ET.fromstring(made)  # well formed
    assert has in made


@pytest.mark.parametrize(
    "source", [r"\begin{matrix}1\end{matrix}", r"\frac{1", "}", "^2", r"\evil{x}", r"\\x" * 2]
)
def test_formulas_beyond_it_are_shown_as_they_are(source):
    assert write_mathml(source) is None
    assert "<math" not in render_text(f"${source}$")


def test_money_is_no_formula():
    assert "math" not in render_text("It costs $5 and $6 more, or 10$ in all.")


@pytest.fixture(scope="module")
def open_server(tmp_path_factory, preceptor):
    """A server with exercises, cards and a class code, which tests of this file share."""
    folder = tmp_path_factory.mktemp("pages")
    run = prepare(folder, preceptor)
    run(
        "study", "push", "--study", "w", "--exercises", "g", "--source", "mine", "--consent", "consent.txt",
        "--class", "class.csv", "--code", "frog",
    )  # fmt: skip
    with serving(folder) as process:
        process.folder = folder
        yield process


@pytest.fixture
def two(open_server):
    """Two learners who have agreed."""
    made = []
    for name in ("Anna", "Ben"):
        one = Learner(open_server.url, open_server.links[name])
        made.append(one.agree() if one.page.url.path == "/consent" else one)
    return made


def test_browsers_are_told_what_a_page_may_do(open_server, two):
    head = two[0].page.headers
    policy = head["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert head["x-content-type-options"] == "nosniff"
    assert head["cache-control"] == "no-store"
    cookie = httpx.get(open_server.links["Anna"]).headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert not re.search(r"(src|href|action)=\"(https?:)?//", two[0].page.text)
    assert not re.search(r"<script(?![^>]*src=)|\son\w+=|style=", two[0].page.text)


def test_another_learner_s_page_is_closed(two):
    anna, ben = two
    sent = anna.answer("x")
    assert ben.client.get(f"/result/{sent['uid']}").status_code == 404
    stolen = ben.fields() | {"uid": sent["uid"], "given": "y"}
    assert ben.client.post("/answer", data=stolen).status_code == 422
    assert ben.client.post("/say/claim", data=ben.fields() | {"uid": sent["uid"]}).status_code == 422
    assert sent["uid"] not in json.dumps(ben.client.get("/me/answers.json").json())
    anna.go_on()


@pytest.mark.parametrize("csrf", [None, "", "0" * 32, "ü"])
def test_a_form_that_is_not_of_this_page_is_refused(two, csrf):
    anna, ben = two
    sent = anna.fields() | {"given": "x"}
    sent = {k: v for k, v in sent.items() if k != "csrf"} | ({"csrf": csrf} if csrf is not None else {})
    assert anna.client.post("/answer", data=sent).status_code == 403
    assert anna.client.post("/answer", data=sent | {"csrf": ben.fields()["csrf"]}).status_code == 403
    for path in ("/withdraw", "/language", "/consent", "/say/vote"):
        assert anna.client.post(path, data={"sure": "yes", "uid": "a" * 24}).status_code == 403


def test_other_sites_cannot_post(two):
    anna = two[0]
    sent = anna.fields() | {"given": "x"}
    for head in ({"origin": "https://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}):
        assert anna.client.post("/answer", data=sent, headers=head).status_code == 403


def test_giant_and_strange_bodies_are_refused(open_server, two):
    anna = two[0]
    sent = anna.fields()
    assert anna.client.post("/answer", data=sent | {"given": "x" * 70_000}).status_code == 413
    assert anna.client.post("/answer", content=iter([b"x" * 1000] * 100)).status_code == 413
    assert (
        anna.client.post(
            "/answer", content=b"\xff" * 100, headers={"content-type": "application/x-www-form-urlencoded"}
        ).status_code
        == 400
    )
    assert (
        anna.client.post(
            "/answer",
            content=b"&".join(b"a=%d" % n for n in range(600)),
            headers={"content-type": "application/x-www-form-urlencoded"},
        ).status_code
        == 400
    )
    assert anna.client.post("/answer", files={"given": b"x"}).status_code == 415
    assert anna.client.post("/answer", data=sent | {"uid": "../../etc"}).status_code == 400
    assert anna.client.post("/answer", data=sent | {"item": "nothing", "given": "x"}).status_code == 422
    long = anna.answer("y" * 5000)
    assert len(long["given"]) == 5000
    anna.go_on()


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2fapp.py",
        "/static/app.py",
        "/l/%00",
        "/result/x",
        "/nothing",
        "/say/x",
        "/t/" + "0" * 32,
        "/teacher",
        "/teacher/answers.csv",
        "/" + "a" * 400,
    ],
)
def test_tricks_with_paths_lead_nowhere(open_server, path):
    answered = httpx.get(f"{open_server.url}{path}", follow_redirects=False)
    assert answered.status_code in (303, 400, 404, 405, 414)
    assert "import" not in answered.text
    if answered.status_code == 303:
        assert answered.headers["location"] == "/join"


def test_foreign_names_of_this_server_are_not_answered(open_server):
    assert httpx.get(open_server.url, headers={"host": "evil.example"}).status_code == 421
    assert is_known_host("192.168.0.7:8750", set())
    assert is_known_host("[::1]:8750", set())
    assert not is_known_host("1.2.3.evil", set())


def test_scripts_in_texts_and_names_are_shown_as_text(open_server):
    dora = Learner(open_server.url, open_server.links["Dora <b>x</b>"])
    if dora.page.url.path == "/consent":
        dora.agree()
    for _ in range(12):
        assert "<b>" not in dora.page.text
        if not dora.kind:
            break
        dora.answer("<script>alert(1)</script>\"'><img src=x onerror=alert(2)>")
        assert "<script>alert" not in dora.page.text
        assert "<img" not in dora.page.text
        dora.go_on()
    teacher = httpx.Client(follow_redirects=True)
    page = teacher.get(open_server.teacher).text
    assert "Dora &lt;b&gt;x&lt;/b&gt;" in page
    assert "Dora" in teacher.get(f"{open_server.url}/teacher/answers.csv").text


def test_the_teacher_s_table_opens_no_formula():
    assert [defuse_cell(cell) for cell in ("=1+1", "+1", "-1", "@x", "ok", None)] == [
        "'=1+1",
        "'+1",
        "'-1",
        "'@x",
        "ok",
        "",
    ]


def test_a_class_joins_by_code(open_server):
    one = Learner(open_server.url, f"{open_server.url}/join")
    sent = one.fields()
    assert one.client.post("/join", data=sent | {"code": "toad", "name": "Fritz"}).status_code == 422
    assert one.client.post("/join", data={"code": "frog", "name": "Fritz"}).status_code == 403
    one.page = one.client.post("/join", data=one.fields() | {"code": " Frog ", "name": "Fritz"})
    one.agree()
    assert one.kind
    two = Learner(open_server.url, f"{open_server.url}/join")
    taken = two.client.post("/join", data=two.fields() | {"code": "frog", "name": "fritz"})
    assert taken.status_code == 422
    assert "already" in taken.text


def test_pages_speak_the_browser_s_language(open_server):
    said = httpx.get(f"{open_server.url}/join", headers={"accept-language": "uk,en;q=0.5"}).text
    assert WORDS["uk"]["join"] in said
    assert '<html lang="uk" dir="ltr">' in said


def test_rates_refill():
    rates = Rates(burst=2, rate=1)
    assert [rates.take("a", now) for now in (0, 0, 0, 0.5, 1.1, 1.2)] == [
        True,
        True,
        False,
        False,
        True,
        False,
    ]
    assert rates.take("b", 0)


def test_floods_are_slowed(open_server):
    found = [httpx.get(f"{open_server.url}/l/{'0' * 32}").status_code for _ in range(140)]
    assert set(found) == {404, 429}
