"""Pages in a real browser; PRECEPTOR_SHOTS=FOLDER keeps a picture of every page that is looked at."""

import importlib
import importlib.util
import os
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest
from waiting import IDLE

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NO_CHROMIUM = "no chromium on this machine; apt-get install chromium, or run .ci/run as root"
CI = os.environ.get("CI") == "true"  # where nothing here may be skipped
NO_PLAYWRIGHT = "playwright is not installed (extra dev)"
NEEDS_CHROMIUM = [
    pytest.mark.skipif(not (CHROMIUM or CI), reason=NO_CHROMIUM),
    pytest.mark.skipif(not (importlib.util.find_spec("playwright") or CI), reason=NO_PLAYWRIGHT),
]
WAIT = min(IDLE, float(os.environ.get("PRECEPTOR_BROWSER_WAIT", IDLE)))  # seconds


@contextmanager
def open_chromium():
    assert CHROMIUM, NO_CHROMIUM
    playwright = importlib.import_module("playwright.sync_api")
    # Its own sandbox needs what root and containers do not have.
    with playwright.sync_playwright() as api:
        browser = api.chromium.launch(
            executable_path=CHROMIUM, timeout=1000 * IDLE, args=["--no-sandbox", "--force-color-profile=srgb"]
        )
        yield browser
        browser.close()


@contextmanager
def open_page(browser, width, height, scheme="light"):
    """A page of a width, with what its console said of errors (`said`) and which addresses it asked (`asked`)."""
    context = browser.new_context(
        viewport={"width": width, "height": height}, has_touch=width < 500, color_scheme=scheme
    )
    context.set_default_timeout(1000 * WAIT)
    opened = context.new_page()
    opened.said, opened.asked = [], []
    opened.on(
        "console", lambda message: opened.said.append(message.text) if message.type == "error" else None
    )
    opened.on("pageerror", lambda error: opened.said.append(str(error)))
    opened.on("request", lambda asked: opened.asked.append(asked.url))
    opened.wide = width
    yield opened
    context.close()


def shoot(page, name, whole=True):
    """Nothing may stick out of a page; a picture is kept where one is asked for."""
    page.wait_for_load_state()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
    if folder := os.environ.get("PRECEPTOR_SHOTS"):
        Path(folder).mkdir(exist_ok=True)
        page.screenshot(path=f"{folder}/{page.wide}-{name}.png", full_page=whole)
