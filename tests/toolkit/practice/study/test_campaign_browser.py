"""An annotator's session in a real browser, on a desk and on a phone, light and dark: keys, guidelines, pinned sides.

    PRECEPTOR_PICTURE=docs/images/judging.png pytest tests/toolkit/practice/study/test_campaign_browser.py -k picture

draws the docs' picture again.
"""

import io
import json
import os

import pytest
from browsing import NEEDS_CHROMIUM, open_page, shoot
from studying import prepare_campaign, serving

pytestmark = [pytest.mark.slow, *NEEDS_CHROMIUM]
SIZES = [(1280, 800, "light"), (390, 844, "light"), (1280, 800, "dark"), (390, 844, "dark")]
TURNS = [
    (
        "A shop takes 25 % off a coat of 80 euros, and then 10 % off the new price. What does it cost?",
        "What is 25 % of 80, and what is left?",
    ),
    ("25 % of 80 is 20, so 60 is left.", "Good. And the second step?"),
    ("10 % of 80 is 8, so 60 − 8 = 52.", "Look at the text again: ten per cent of which price?"),
    ("Of the coat? It is always the coat's price that they take it off.", "What was the price by then?"),
    ("Oh, 60. But 25 and 10 make 35 %, and 35 % of 80 is 28, so 52. So I was right?", ""),
]
REPLIES = {
    "tuned": "You found two ways that agree, so something must be the same in both. In the second way, which price did "
    "you take the 10 % of? Try it with 60 and compare.",
    "base": "No. The second discount is taken off the new price: 10 % of 60 is 6, and 60 − 6 = **54**. Percentages "
    "of different amounts cannot be added.",
}


def make_dialogues(folder):
    """Long dialogues, whose last turn is the learner's, in place of the prompts."""
    messages = [
        turn
        for said, asked in TURNS
        for turn in ({"role": "user", "content": said}, {"role": "assistant", "content": asked})
    ][:-1]
    rows = [
        {
            "id": f"d{n}", "task": "tutoring", "language": "en",
            "messages": [*messages[:-1], messages[-1] | {"content": messages[-1]["content"] + " " * n}],
            "completions": [{"id": f"d{n}-{who}", "author": who, "content": text + " " * n} for who, text in REPLIES.items()],
        }
        for n in range(1)
    ]  # fmt: skip
    (folder / "d.jsonl").write_text("\n".join(map(json.dumps, rows)))


@pytest.fixture(scope="module")
def server(tmp_path_factory, preceptor):
    folder = tmp_path_factory.mktemp("judging")
    run = prepare_campaign(folder, preceptor)
    make_dialogues(folder)
    run("ingest", "prompts", "d.jsonl", "--source", "dialogues", "--license", "CC-BY-4.0")
    names = [f"person-{n}" for n in range(len(SIZES))]
    chosen = [word for name in names for word in ("--annotator", name)]
    run(*run.push[:-2], "--n", 5, "--overlap", 9, *chosen)
    run(
        "annotate", "push", "--campaign", "week-2", "--rubric", "socratic", "--serve", "study", "--n", 2, "--overlap", 9, "--overlap", 9, *chosen,
    )  # fmt: skip
    with serving(folder, study="week-1") as pairs, serving(folder, study="week-2") as ratings:
        pairs.ratings, pairs.run = ratings, run
        yield pairs


def agree(page, server):
    page.goto(server.links[f"person-{SIZES.index(page.size)}"])
    assert page.locator("h1").inner_text() == "Before you begin"
    shoot(page, "campaign-consent")
    page.click("form[action='/consent'] button")
    page.wait_for_selector("form.judge")


def press(page, key):
    """Press a key once the page's script is there."""
    page.wait_for_load_state()
    page.keyboard.press(key)


@pytest.fixture(params=SIZES, ids=lambda size: "-".join(map(str, size)))
def sized(chromium, request):
    with open_page(chromium, *request.param) as page:
        page.size = request.param
        yield page
        assert page.said == []


def is_in_view(page, selector):
    return page.evaluate(
        """selector => [...document.querySelectorAll(selector)].every(one => {
            const box = one.getBoundingClientRect();
            return box.top >= -1 && box.bottom <= innerHeight + 1 && box.height > 20; })""",
        selector,
    )


def test_pairs_by_keys_with_sides_pinned(server, sized):
    page = sized
    agree(page, server)
    longest = 0
    for n in range(5):
        key = page.get_attribute("form.judge", "data-question")
        tall = page.evaluate("document.documentElement.scrollHeight - innerHeight")
        longest = max(longest, tall)
        # Wherever the dialogue stands, both sides and the buttons can be seen.
        for place in (0, 0.3, 0.6):
            page.evaluate(
                "place => scrollTo(0, place * document.querySelector('.dialogue').offsetHeight)", place
            )
            assert is_in_view(page, ".side"), (n, place)
            assert is_in_view(page, ".choices button"), (n, place)
        shoot(page, f"campaign-{n}-{page.size[2]}", whole=False)
        if n == 0:
            press(page, "?")
            page.wait_for_selector("dialog[open]")
            assert "When to choose tie" in page.inner_text("dialog")
            press(page, "1")  # chooses nothing while they are read
            press(page, "Escape")
            page.wait_for_selector("dialog:not([open])", state="attached")
            page.click("details.comment summary")
            page.fill("textarea", "12 and 0: digits of a comment choose nothing")
        press(page, "120s"[n % 4]) if n else page.click("[data-key='1']")
        page.wait_for_selector(f"form.judge:not([data-question='{key}']), main h1:text('That is all')")
    assert longest > 300 or page.wide > 1000
    shoot(page, f"campaign-finished-{page.size[2]}")
    assert "Answered: 4" in page.inner_text("main")
    assert "Left out: 1" in page.inner_text("main")
    press(page, "u")
    page.wait_for_selector("form.judge")
    assert "Answered: 3" in page.inner_text("footer")
    press(page, "2")
    page.wait_for_selector("h1:text('That is all')")
    page.click("form[action='/reopen'] button")
    page.wait_for_selector("form.judge")
    press(page, "0")
    page.wait_for_selector("h1:text('That is all')")
    page.goto(f"{server.url}/me")
    page.select_option("[name=language]", "uk")
    page.click("form[action='/language'] button")
    shoot(page, f"campaign-me-uk-{page.size[2]}")
    assert "Відповідей: 5" in page.inner_text("main")
    page.goto(server.teacher)
    shoot(page, f"campaign-team-{page.size[2]}")
    assert {url.split("/")[2] for url in page.asked} == {server.url.split("/")[2]}


def test_ratings_by_keys(server, sized):
    page = sized
    agree(page, server.ratings)
    key = page.get_attribute("form.judge", "data-question")
    for digit in "245":
        press(page, digit)
    press(page, "Enter")  # one criterion is missing: the browser says so, nothing is sent
    assert page.get_attribute("form.judge", "data-question") == key
    assert is_in_view(page, ".side") or page.wide > 1000
    shoot(page, f"campaign-rating-{page.size[2]}")
    press(page, "1")
    press(page, "Enter")
    page.wait_for_selector(f"form.judge:not([data-question='{key}'])")
    assert "Answered: 1" in page.inner_text("footer")


def test_it_works_without_scripts(server, chromium, tmp_path, preceptor):
    campaign = prepare_campaign(tmp_path, preceptor)
    with serving(tmp_path, study="week-1") as alone:
        context = chromium.new_context(java_script_enabled=False, viewport={"width": 390, "height": 844})
        plain = context.new_page()
        plain.goto(alone.links["ada"])
        plain.click("form[action='/consent'] button")
        plain.click("nav a[href='/guidelines']")
        assert "When to choose tie" in plain.inner_text("main")
        plain.click("main a.button")
        plain.click("button[value=first]")
        plain.click("text=Take back my last answer")
        plain.click("button[value=tie]")
        assert "Answered: 1" in plain.inner_text("footer")
        context.close()
    assert "1 answers new" in campaign("annotate", "pull")


@pytest.mark.skipif("PRECEPTOR_PICTURE" not in os.environ, reason="draws the docs' picture on demand")
def test_picture(tmp_path, preceptor, chromium):
    from PIL import Image

    run = prepare_campaign(tmp_path, preceptor)
    make_dialogues(tmp_path)
    run("ingest", "prompts", "d.jsonl", "--source", "dialogues", "--license", "CC-BY-4.0")
    run(
        "annotate", "push", "--campaign", "maths", "--rubric", "pairwise-preference", "--serve", "study", "--n", 1,
        "--repeat", 0, "--source", "dialogues", "--annotator", "ada",
    )  # fmt: skip
    shots = []
    with serving(tmp_path, study="maths") as server:
        for width, scale in ((1180, 1.5), (390, 1.5)):
            context = chromium.new_context(
                viewport={"width": width, "height": 700}, device_scale_factor=scale, color_scheme="light"
            )
            page = context.new_page()
            page.goto(server.links["ada"])
            if "/consent" in page.url:
                page.click("form[action='/consent'] button")
            page.wait_for_selector("form.judge")
            page.evaluate("scrollTo(0, 180)") if width < 500 else None
            shots.append(Image.open(io.BytesIO(page.screenshot())))
            context.close()
    gap = 30
    whole = Image.new("RGB", (sum(s.width + gap for s in shots) - gap, shots[0].height), "white")
    at = 0
    for shot in shots:
        whole.paste(shot, (at, 0))
        at += shot.width + gap
    small = whole.resize((int(whole.width / 1.5), int(whole.height / 1.5)), Image.Resampling.LANCZOS)
    small.quantize(64).save(os.environ["PRECEPTOR_PICTURE"], optimize=True)
