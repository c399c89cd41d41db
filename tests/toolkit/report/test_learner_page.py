"""The page about a learner: what it says, who may read it, and how it looks on a desk and on a phone."""

import importlib
import os
import re
import shutil
import stat
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from preceptor.schemas.errors import StoreError
from preceptor.toolkit.ingest.run import ingest_files
from preceptor.toolkit.practice.learners.learn import LearnSettings, learn
from preceptor.toolkit.practice.learners.recommend import Wishes
from preceptor.toolkit.privacy.reach import find_beyond
from preceptor.toolkit.report.learner import render_learner, write_learner
from preceptor.toolkit.store.connection import open_store, query

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NO_CHROMIUM = "no chromium on this machine; apt-get install chromium, or run .ci/run as root"
CI = os.environ.get("CI") == "true"  # where nothing here may be skipped
START = datetime(2026, 1, 1, 12, tzinfo=UTC)
AT = Wishes(at=START + timedelta(days=80), explore=0)
TRICKY = "tense <script>alert(1)</script>"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a store that knows what two learners have mastered; their pseudonyms."""
    folder = tmp_path_factory.mktemp("profile")
    draw = np.random.default_rng(3)
    skills = ["articles", "plural", "a skill with a name too long for a phone's margin", TRICKY]
    rows = [
        {"learner": f"learner-{who}", "item": f"card-{draw.integers(9)}", "skills": skills[k := int(draw.integers(4))],
         "at": (START + timedelta(days=int(draw.integers(60)), minutes=n)).isoformat(),
         "correct": int(draw.random() < (0.2, 0.5, 0.7, 0.9)[k])}
        for who in range(2) for n in range(90)
    ]  # fmt: skip
    pl.DataFrame(rows).write_csv(folder / "log.csv")
    with open_store(folder / "preceptor.duckdb", create=True) as con:
        ingest_files(con, "reviews", [folder / "log.csv"], "log")
        learn(con, settings=LearnSettings(steps=4, memory_steps=2))
        people = query(con, "SELECT DISTINCT learner FROM mastery ORDER BY 1")["learner"]
    return folder, *people


@pytest.fixture
def con(place):
    with open_store(place[0] / "preceptor.duckdb") as con:
        yield con


def test_the_page_says_what_the_store_knows(con, place):
    page = render_learner(con, place[1], AT)
    assert re.search(r"<h1>4 skills: \d mastered, \d weak; 9 cards, \d of them due\.</h1>", page)
    for part in ("Mastery by skill", "History", "What to do next", "What is due", "What a tutor may be told"):
        assert part in page
    assert "an answer is right with probability" in page
    assert "due: remembered with probability" in page
    assert "&lt;script&gt;alert(1)" in page
    assert "<script" not in page
    assert not re.search(r"""(src|href)=["'](?!#)""", page)
    assert render_learner(con, place[1], AT) == page


def test_only_its_owner_may_read_the_file_and_forget_names_it(con, place, tmp_path):
    out = tmp_path / "profile.html"
    write_learner(con, out, place[2], AT)
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert (str(out), "delete it, or write it again") in {
        (one.where, one.remedy) for one in find_beyond(con, [])
    }


def test_a_page_about_nobody_is_refused(con, tmp_path):
    with pytest.raises(StoreError, match="no review, sentence or outcome"):
        write_learner(con, tmp_path / "p.html", "nobody", AT)
    assert not (tmp_path / "p.html").exists()


def test_without_a_fit_the_page_says_what_to_run(tmp_path, preceptor):
    (tmp_path / "log.csv").write_text("learner,item,skills,correct\nada,i1,plural,1\nada,i2,plural,0\n")
    preceptor("ingest", "reviews", "log.csv", "--source", "log", cwd=tmp_path)
    said = preceptor("learner", "ada", "--html", "p.html", cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    page = (tmp_path / "p.html").read_text()
    assert "run preceptor learn" in page
    assert "2 answers without a time" in page


@pytest.mark.slow
@pytest.mark.skipif(not (CHROMIUM or CI), reason=NO_CHROMIUM)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_sticks_out_of_the_page_and_nothing_is_asked(con, place, tmp_path, width, scheme):
    playwright = importlib.import_module("playwright.sync_api")
    (tmp_path / "p.html").write_text(render_learner(con, place[1], AT))
    with playwright.sync_playwright() as api:
        browser = api.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        said, asked = [], []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto((tmp_path / "p.html").as_uri())
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert page.locator("#mastery svg").bounding_box()["width"] > 250
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (int(re.findall(r"\d+", ground)[0]) < 100) == (scheme == "dark")
        page.locator("summary").click()
        assert page.locator("details td").first.is_visible()
        if folder := os.environ.get("PRECEPTOR_SHOTS"):
            page.screenshot(path=f"{folder}/learner-{width}-{scheme}.png", full_page=True)
        browser.close()
    assert said == []
    assert len(asked) == 1
