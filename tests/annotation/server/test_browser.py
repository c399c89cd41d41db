"""What annotators see and press, in a real browser: Chromium on the embedded server's own pages.

    PRECEPTOR_PICTURE=docs/images/annotate.png pytest tests/annotation/server/test_browser.py -k picture

draws the README's picture again.
"""

import importlib
import io
import json
import os
import re
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner
from waiting import IDLE

from preceptor.annotation.server.serve import run_server
from preceptor.toolkit.cli.main import cli
from preceptor.toolkit.store.connection import open_store, query

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NO_CHROMIUM = "no chromium on this machine; apt-get install chromium, or run .ci/run as root"
CI = os.environ.get("CI") == "true"  # where nothing here may be skipped
if CI:
    playwright = importlib.import_module("playwright.sync_api")
else:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra dev)")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not (CHROMIUM or CI), reason=NO_CHROMIUM)]

MARKUP = [
    {
        "id": "sky",
        "prompt": "<img src=x onerror=alert(1)> Why is the sky **blue**, & is 1<2?",
        "completions": [
            "<script>alert(2)</script> Blue light is <b>scattered</b> *most*.\n# A second line &amp; an entity",
            "<iframe src=http://elsewhere.invalid/f></iframe><img src=http://elsewhere.invalid/i> What of sunset?",
        ],
    },
    {"id": "sum", "prompt": "Is 2 + 2 = 5?", "completions": ["Count your fingers.", "No, 4."]},
    {
        "id": "plural",
        "prompt": "Can I say 'informations'?",
        "completions": ["No.", "Say 'some information'."],
    },
]

LESSON = [
    {
        "id": "quadratic",
        "completions": [
            "Nearly! You lost a solution: x can be 0 as well. Whenever you divide by x you must first ask whether x "
            "could be 0, and here it can, so the solutions are x = 0 and x = 5.",
            "Put your 5 back into the equation: it works. Now, dividing by x is only allowed for some values of x. "
            "Which value did you rule out when you divided, and what happens if you try it in the equation?",
        ],
        "prompt": "I have to solve x² = 5x. I divided both sides by x:\nx = 5\nBut the book has two solutions. Why?",
    },
]


@pytest.fixture(scope="module")
def server(server_environment, tmp_path_factory):
    with run_server(
        tmp_path_factory.mktemp("browser") / "home", server_environment, annotators=["anna"]
    ) as started:
        yield started


@pytest.fixture(scope="module")
def chromium():
    assert CHROMIUM, NO_CHROMIUM
    # Its own sandbox needs what root and containers do not have.
    with playwright.sync_playwright() as api:
        browser = api.chromium.launch(
            executable_path=CHROMIUM, timeout=1000 * IDLE, args=["--no-sandbox", "--force-color-profile=srgb"]
        )
        yield browser
        browser.close()


@pytest.fixture
def campaign(server, chromium, tmp_path):
    """A function that pushes prompts and opens the campaign's page as anna."""
    contexts = []

    def open_campaign(name, prompts, height=800):
        rows = [
            {
                "task": "tutor",
                "group": row["id"],
                **row,
                "completions": [
                    {"id": f"{row['id']}{i}", "content": text} for i, text in enumerate(row["completions"])
                ],
            }
            for row in prompts
        ]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
        run(tmp_path, "ingest", "prompts", tmp_path / f"{name}.jsonl", "--source", "lesson")
        said = run(
            tmp_path,
            "annotate",
            "push",
            "--campaign",
            name,
            "--rubric",
            "pairwise-preference",
            "--n",
            len(prompts),
            "--repeat",
            0,
            "--overlap",
            1,
            "--seed",
            1,
            "--home",
            server.home,
        )
        contexts.append(chromium.new_context(viewport={"width": 1280, "height": height}))
        contexts[-1].set_default_timeout(1000 * IDLE)
        page = contexts[-1].new_page()
        seen = Seen(page)
        page.goto(re.search(r"answer at\s+(\S+)", said)[1])
        page.fill("input[type=text]", "anna")
        page.fill("input[type=password]", server.accounts["anna"].password)
        page.keyboard.press("Enter")
        page.wait_for_selector(".chat__bubble")
        return page, seen

    yield open_campaign
    for context in contexts:
        context.close()


class Seen:
    """What a page asked for and said by itself."""

    def __init__(self, page):
        self.answered, self.failed, self.dialogs = [], {}, []
        page.context.on("requestfinished", lambda request: self.answered.append(request.url))
        page.context.on("requestfailed", lambda request: self.failed.update({request.url: request.failure}))
        page.on("dialog", lambda dialog: (self.dialogs.append(dialog.message), dialog.dismiss()))


def run(folder, *arguments):
    done = CliRunner().invoke(cli, ["--store", str(folder / "s.duckdb"), *map(str, arguments)])
    assert done.exception is None, f"{done.exception} {done.output}"
    return done.output


def shown(page):
    """Prompt, first and second completion, as their text stands on the page."""
    prompts = page.locator(".chat__bubble > span").all_text_contents()
    first, second = page.locator(".content-area > div").all_text_contents()
    return prompts[-1], first, second


def test_a_page_shows_texts_as_they_are_and_what_is_pressed_is_the_vote(server, campaign, tmp_path):
    page, seen = campaign("seen", MARKUP)
    given = {}
    for key, choice in (("1", "first"), ("2", "second"), ("3", "tie")):
        prompt, first, second = shown(page)
        assert page.get_by_text("Tie", exact=True).is_visible()
        assert page.get_by_text("Which answer helps this learner more?").is_visible()
        assert page.locator(".content-area iframe, .content-area img, .chat__bubble img").count() == 0
        given[prompt] = {"first": first, "second": second, "tie": None}[choice], {first, second}
        page.keyboard.press(key)
        page.keyboard.press("Enter")
        page.wait_for_function(
            "was => document.querySelector('.chat__bubble > span')?.textContent !== was", arg=prompt
        )
    assert {prompt: sides for prompt, (_, sides) in given.items()} == {
        row["prompt"]: set(row["completions"]) for row in MARKUP
    }
    assert not seen.dialogs

    said = " ".join(run(tmp_path, "annotate", "pull", "--home", server.home).split())
    assert "3 of 3 questions answered; 3 answers new" in said
    with open_store(tmp_path / "s.duckdb", read_only=True) as con:
        votes = query(
            con,
            """SELECT p.messages[1].content AS prompt, choice, a.content AS a, b.content AS b
            FROM votes v JOIN completions a ON a.key = v.completion_a JOIN completions b ON b.key = v.completion_b
            JOIN prompts p ON p.key = a.prompt""",
        )
    found = {row["prompt"]: row.get(row["choice"]) for row in votes.iter_rows(named=True)}
    assert found == {prompt: chosen for prompt, (chosen, _) in given.items()}

    own = urlsplit(server.url).netloc
    assert {urlsplit(url).netloc for url in seen.answered if url.startswith("http")} == {own}
    # Argilla's page names a font of Google's; the browser does not even ask for it.
    elsewhere = {url: why for url, why in seen.failed.items() if urlsplit(url).netloc != own}
    assert {urlsplit(url).netloc for url in elsewhere} <= {"fonts.googleapis.com"}
    assert set(elsewhere.values()) <= {"csp"}


def test_a_picture_from_elsewhere_is_not_asked_for(campaign):
    page, _ = campaign("elsewhere", MARKUP[1:2])
    with page.context.expect_event("requestfailed", lambda request: "elsewhere" in request.url) as event:
        page.evaluate("document.body.append(Object.assign(new Image(), {src: 'http://elsewhere.invalid/i'}))")
    assert event.value.failure == "csp"


def test_the_picture_of_the_page(campaign, tmp_path):
    page, _ = campaign("tutoring", LESSON, height=760)
    prompt, *completions = shown(page)
    assert (prompt, set(completions)) == (LESSON[0]["prompt"], set(LESSON[0]["completions"]))
    for place in (".chat__bubble > span", ".content-area > div"):  # lines stay lines
        assert page.locator(place).first.evaluate("e => getComputedStyle(e).whiteSpace").startswith("pre")
    page.keyboard.press("12"[completions.index(LESSON[0]["completions"][1])])  # the one that asks
    page.wait_for_timeout(1000)  # until what moves stands still
    path = Path(os.environ.get("PRECEPTOR_PICTURE") or tmp_path / "annotate.png")
    size = save_small(page.screenshot(), path)
    assert size == (1280, 760)
    assert path.stat().st_size < 150_000


def save_small(png, path):
    """Write the picture with 256 colours; its width and height in pixels."""
    from PIL import Image

    picture = Image.open(io.BytesIO(png)).convert("RGB")
    picture.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
    return picture.size
