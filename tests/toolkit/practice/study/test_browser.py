"""A learner's whole session in a real browser, on a desk and on a phone: keys, offline, leaving.

    PRECEPTOR_PICTURE=docs/images/study.png pytest tests/toolkit/practice/study/test_browser.py -k picture

draws the README's picture again; PRECEPTOR_SHOTS=FOLDER keeps a picture of every page.
"""

import io
import json
import os
from pathlib import Path

import pytest
from browsing import NEEDS_CHROMIUM, shoot
from studying import PROMPTS, prepare, serving

pytestmark = [pytest.mark.slow, *NEEDS_CHROMIUM]
KEYS = {row["id"]: row["context"]["answer"] for row in PROMPTS}


@pytest.fixture(scope="module")
def server(tmp_path_factory, preceptor):
    folder = tmp_path_factory.mktemp("browser")
    run = prepare(folder, preceptor)
    run(
        "study", "push", "--study", "w", "--exercises", "g", "--source", "mine", "--consent", "consent.txt",
        "--class", "class.csv", "--vote-share", 1, "--rubric", "socratic", "--rate-every", 1,
    )  # fmt: skip
    with serving(folder) as process:
        process.folder, process.command = folder, run
        yield process


def fill(page, right):
    """Answer the exercise that is shown; the names of what was shown."""
    form = page.locator("form.exercise")
    kind = form.get_attribute("data-kind")
    if kind == "choice":
        page.keyboard.press("1")
    elif kind == "spot":
        form.locator(".words label").nth(1).click()
    else:
        text = form.inner_text()
        given = next((key for n, key in enumerate(KEYS.values()) if PROMPTS[n]["group"] in text), "goes")
        form.locator("[name=given]").fill(given if right else "no idea")
    return kind


@pytest.mark.parametrize("page", [(1280, 800), (390, 844)], indirect=True)
def test_a_whole_session(server, page):
    name = "Anna" if page.wide > 500 else "Ben"
    page.goto(server.links[name])
    assert page.locator("h1").inner_text() == "Before you begin"
    shoot(page, "consent")
    page.click("button")
    seen, tries = set(), {}
    for n in range(32):
        page.wait_for_load_state()
        if not page.locator("form.exercise").count():
            break
        item = page.locator("form.exercise [name=item]").get_attribute("value")
        tries[item] = tries.get(item, 0) + 1
        kind = fill(page, right=tries[item] > 1)
        shoot(page, kind)
        if kind in ("cloze", "flashcard") and n % 2:
            page.keyboard.press("Enter")
        else:
            page.click("form.exercise button:not([type=button])")
        page.wait_for_url("**/result/**")
        seen.add(kind)
        if page.locator(".verdict.bad").count():
            shoot(page, f"{kind}-wrong")
            seen.add("wrong")
        if page.locator(".explanation").count():
            seen.add("explanation")
        if page.locator("form.rating").count():
            shoot(page, "rating")
            page.locator("form.rating input[type=radio]").last.check()
            page.click("form.rating button")
            seen.add("rating")
            continue
        if page.locator("form.vote").count():
            shoot(page, "vote")
            page.keyboard.press("1")
            page.wait_for_selector("text=Thank you.")
            seen.add("vote")
        page.click("#next")
    assert {
        "cloze",
        "choice",
        "spot",
        "rewrite",
        "flashcard",
        "wrong",
        "explanation",
        "vote",
        "rating",
    } <= seen
    page.goto(f"{server.url}/me")
    shoot(page, "me")
    with page.expect_download() as download:
        page.click("a[download]")
    data = json.loads(Path(download.value.path()).read_text())
    assert data["learner"]["name"] == name
    assert sum(event["kind"] == "answer" for event in data["events"]) == sum(tries.values())
    page.select_option("[name=language]", "uk")
    page.click("form[action='/language'] button")
    assert page.get_attribute("html", "lang") == "uk"
    shoot(page, "me-uk")
    page.goto(server.teacher)
    shoot(page, "teacher")
    assert page.said == []
    assert {url.split("/")[2] for url in page.asked} == {server.url.split("/")[2]}


@pytest.mark.parametrize("page", [(390, 844)], indirect=True)
def test_answers_given_offline_come_later_and_once(tmp_path, preceptor, page):
    """The server is away, which a browser cannot tell from being offline itself."""
    prepare(tmp_path, preceptor)(
        "study", "push", "--study", "w", "--exercises", "g", "--source", "mine", "--consent", "consent.txt",
        "--class", "class.csv",
    )  # fmt: skip
    with serving(tmp_path) as server:
        page.goto(server.links["Cleo"])
        page.click("button")
        page.wait_for_selector("body[data-packed]")
        url = server.url
    for n in (1, 2):
        answer_offline(page, n)
    shoot(page, "offline")
    page.goto(f"{url}/")  # from the service worker
    assert page.get_attribute("body", "data-offline") is not None
    page.wait_for_selector("form.exercise")
    answer_offline(page, 3)
    shoot(page, "offline-again")
    with serving(tmp_path, "--port", url.rsplit(":", 1)[1]):
        page.wait_for_selector("#kept", state="hidden")
        page.wait_for_selector("nav")  # the page that is not the offline one
        page.goto(f"{url}/me")
        with page.expect_download() as download:
            page.click("a[download]")
    events = json.loads(Path(download.value.path()).read_text())["events"]
    answers = [event for event in events if event["kind"] == "answer"]
    assert len(answers) == len({event["item"] for event in answers}) == 3
    assert all("device_at" in event["body"] for event in answers)


def answer_offline(page, n):
    item = page.locator("form.exercise [name=item]").get_attribute("value")
    fill(page, right=True)
    page.click("form.exercise button:not([type=button])")
    page.wait_for_selector(f"form.exercise [name=item]:not([value='{item}'])", state="attached")
    assert page.locator("#kept").inner_text().startswith(f"Kept on this device: {n}.")


@pytest.mark.parametrize("page", [(390, 844)], indirect=True)
def test_leaving_deletes_everything_here_and_on_the_device(server, page):
    page.goto(server.links["Dora <b>x</b>"])
    page.click("button")
    fill(page, right=False)
    page.click("form.exercise button:not([type=button])")
    page.wait_for_url("**/result/**")
    page.goto(f"{server.url}/me")
    page.click("summary")
    page.check("[name=sure]")
    shoot(page, "leave")
    page.click("button.dangerous")
    page.wait_for_selector("text=You have left the study.")
    shoot(page, "left")
    assert page.evaluate("localStorage.getItem('pack')") is None
    page.goto(f"{server.url}/")
    assert page.locator("form.exercise").count() == 0
    page.goto(server.links["Dora <b>x</b>"])
    assert "nobody" in page.inner_text("main")


@pytest.mark.parametrize("page", [(390, 844)], indirect=True)
def test_it_works_without_scripts(server, chromium, page):
    context = chromium.new_context(java_script_enabled=False, viewport={"width": 390, "height": 844})
    plain = context.new_page()
    plain.goto(server.links["Cleo"])
    if "/consent" in plain.url:
        plain.click("button")
    for _ in range(3):
        kind = plain.get_attribute("form.exercise", "data-kind")
        if kind == "choice":
            plain.locator("[name=given]").first.check()
        elif kind == "spot":
            plain.locator(".words label").first.click()
        else:
            plain.fill("[name=given]", "x")
        plain.click("form.exercise button")
        assert "/result/" in plain.url
        plain.click("#next")
    context.close()


LESSON = {
    "id": "subservient",
    "task": "mnemonic",
    "language": "en",
    "prompt": "**subservient** means …",
    "context": {"answers": ["too willing to obey", "obeying others too willingly", "obedient"]},
    "completions": [
        {"id": "a", "author": "tuned", "content": "A **sub**marine crew **serves** below: it stays *under* and does what it is told."},
        {"id": "b", "author": "base", "content": "From Latin *sub* (under) and *servire* (to serve): serving beneath somebody."},
    ],
}  # fmt: skip
ESSAY = "S She have lived in Tartu since two years .\nA 5 6|||R:PREP|||for|||REQUIRED|||-NONE-|||0\nA 1 2|||R:VERB:SVA|||has|||REQUIRED|||-NONE-|||0\n\n"


@pytest.mark.skipif("PRECEPTOR_PICTURE" not in os.environ, reason="draws the README's picture on demand")
def test_picture(tmp_path, preceptor, chromium):
    from PIL import Image

    run = prepare(tmp_path, preceptor)
    (tmp_path / "p.jsonl").write_text(json.dumps(LESSON))
    (tmp_path / "s.m2").write_text(ESSAY)
    (tmp_path / "ex.yaml").write_text("name: essay\nsources: [essay]\nexercises: [cloze]\n")
    (tmp_path / "class.csv").write_text("name\nMari\n")
    run("ingest", "prompts", "p.jsonl", "--source", "words")
    run("ingest", "m2", "s.m2", "--source", "essay")
    run("exercises", "build", "ex.yaml")
    run(
        "study", "push", "--study", "w", "--exercises", "essay", "--source", "words", "--consent", "consent.txt",
        "--class", "class.csv", "--vote-share", 1,
    )  # fmt: skip
    shots = {}
    with serving(tmp_path) as server:
        context = chromium.new_context(
            viewport={"width": 400, "height": 660}, device_scale_factor=2, color_scheme="light"
        )
        page = context.new_page()
        page.goto(server.links["Mari"])
        page.click("button")
        for _ in range(12):
            page.wait_for_load_state()
            if not page.locator("form.exercise").count():
                break
            kind = page.get_attribute("form.exercise", "data-kind")
            given = (
                "for" if kind == "cloze" else "obedient" if "result" in shots else "a servant under the sea"
            )
            page.fill("[name=given]", given)
            if kind == "cloze":
                shots.setdefault("cloze", page.screenshot())
            page.click("form.exercise button:not([type=button])")
            page.wait_for_url("**/result/**")
            if page.locator("form.vote").count():
                shots["vote"] = page.screenshot()
            elif kind == "flashcard":
                shots.setdefault("result", page.screenshot())
            page.goto(f"{server.url}/")
        context.close()
    parts = [Image.open(io.BytesIO(shots[name])) for name in ("cloze", "result", "vote")]
    gap = 32
    whole = Image.new("RGB", (sum(p.width + gap for p in parts) - gap, parts[0].height), "white")
    for n, part in enumerate(parts):
        whole.paste(part, (n * (parts[0].width + gap), 0))
    whole.resize((whole.width // 2, whole.height // 2), Image.Resampling.LANCZOS).save(
        os.environ["PRECEPTOR_PICTURE"]
    )
