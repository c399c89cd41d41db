"""What every page needs: the journal, who asks, their language, forms that only our pages can send."""

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from ..journal.answers import Rules
from ..journal.database import Journal, read_study_settings
from ..journal.events import Clock
from ..journal.people import Participant, find_learner, list_current_consents
from ..journal.writer import Writer
from .guard import BODY_BYTES
from .text.guidelines import render_guidelines
from .text.rich_text import close_up, is_mark, render_line, render_text
from .text.words import find_language, read_words

COOKIE, TEACHER_COOKIE, VISIT_COOKIE = "study", "study_teacher", "study_visit"
_DAYS = 200
_FOLDER = Path(__file__).parent
_RIGHT_TO_LEFT = {"ar", "fa", "he", "ur", "yi", "ps", "dv", "ug"}
_UID = re.compile(r"[0-9a-f]{24}")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Site:
    """A study that is served."""

    folder: Path
    writer: Writer
    secret: bytes
    run: str
    secure: bool
    """True if browsers reach it by https."""
    is_campaign: bool = False
    """True if annotators judge the questions of a campaign here."""
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    templates: Environment = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "templates", _make_templates(self.is_campaign))

    def tell_time(self) -> Clock:
        """Tell this run of the server and the time."""
        return Clock(self.run, self.clock())

    def make_signature(self, *parts: str) -> str:
        """Make the signature of a form, so that only our pages can send it."""
        return hmac.new(self.secret, "\0".join(("form", *parts)).encode(), hashlib.sha256).hexdigest()[:32]


@dataclass(frozen=True)
class Visit:
    """A request of a learner: who, and the study's settings as they are now."""

    learner: Participant
    settings: dict[str, Any]
    agreed: bool


def _make_templates(is_campaign: bool) -> Environment:
    made = Environment(
        loader=FileSystemLoader(_FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
    )
    made.filters |= {
        "text": render_text,
        "line": render_line,
        "close": close_up,
        "shown": lambda item: close_up(item["shown"], item),
        "is_mark": is_mark,
        "guidelines": render_guidelines,
    }
    made.globals |= {"direction": find_direction, "is_campaign": is_campaign}
    return made


class NobodyError(Exception):
    """The request has no link of a learner of this study."""


class NoConsentError(Exception):
    """The learner has not agreed to the text as it is now."""


async def run_visit(
    site: Site,
    request: Request,
    job: Callable[[Journal, Visit], Result],
    *,
    needs_consent: bool = True,
) -> tuple[Visit, Result]:
    """Run a job of the learner who asks; return who they are, and its result once it is on disk.

    Raises NobodyError, NoConsentError, and what the job raises.
    """
    token = request.cookies.get(COOKIE, "")

    def whole(con: Journal) -> tuple[Visit, Result]:
        learner = find_learner(con, token) if token else None
        if learner is None:
            raise NobodyError
        visit = Visit(learner, read_study_settings(con), learner.consent in list_current_consents(con))
        if needs_consent and not visit.agreed:
            raise NoConsentError
        return visit, job(con, visit)

    return await site.writer.run(whole)


def get_site(request: Request) -> Site:
    """Get the study that the request is for."""
    site: Site = request.app.state.site
    return site


def make_rules(site: Site, settings: dict[str, Any]) -> Rules:
    """Make what answers need of the settings."""
    return Rules(site.secret.hex(), settings["retention"], settings["vote_share"], settings["rate_every"])


async def read_form(request: Request, *, lists: tuple[str, ...] = ()) -> dict[str, Any]:
    """Read a form's fields, the last of a name; those of `lists` as lists. Answers 413 and 400 by itself."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES:
            raise HTTPException(413)
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        raise HTTPException(415)
    try:
        pairs = parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=500)
    except ValueError as error:
        raise HTTPException(400) from error
    fields: dict[str, Any] = {name: [] for name in lists}
    for name, value in pairs:
        clean = value.replace("\0", "").replace("\r\n", "\n")
        if name in lists:
            fields[name].append(clean)
        else:
            fields[name] = clean
    return fields


def check_form(site: Site, request: Request, form: dict[str, Any]) -> None:
    """Answer 403 to a form that was not sent from a page of this learner's own."""
    expected = site.make_signature(request.cookies.get(COOKIE, ""))
    if not hmac.compare_digest(str(form.get("csrf", "")).encode(), expected.encode()):
        raise HTTPException(403)


def check_uid(value: Any) -> str:
    """Answer 400 to what is no number of a form."""
    if not isinstance(value, str) or not _UID.fullmatch(value):
        raise HTTPException(400)
    return value


def make_uid() -> str:
    """Make a number of a form, by which the same answer is known when it comes twice."""
    return secrets.token_hex(12)


def render_page(
    site: Site,
    request: Request,
    template: str,
    *,
    learner: Participant | None = None,
    status: int = 200,
    language: str | None = None,
    **values: Any,
) -> Response:
    """Render a page in the learner's language."""
    return HTMLResponse(
        render_html(site, request, template, learner=learner, language=language, **values), status, _NOT_KEPT
    )


def render_html(
    site: Site,
    request: Request,
    template: str,
    *,
    learner: Participant | None = None,
    language: str | None = None,
    **values: Any,
) -> str:
    """Render a template in the learner's language."""
    code = choose_language(request, learner, language)
    words = read_words(code, site.is_campaign)

    def say(key: str, **given: Any) -> str:
        return words[key].format(**given)

    token = request.cookies.get(COOKIE, "")
    return site.templates.get_template(template).render(
        language=code,
        say=say,
        learner=learner,
        csrf=site.make_signature(token) if token else "",
        shown_ms=int(time.time() * 1000),
        **values,
    )


def choose_language(request: Request, learner: Participant | None, language: str | None = None) -> str:
    """Choose the language of a page: asked for, the learner's, or the browser's."""
    asked = request.query_params.get("language")
    return find_language(
        asked, language, learner.language if learner else None, request.headers.get("accept-language")
    )


_NOT_KEPT = {"cache-control": "no-store"}


def send_to(where: str) -> RedirectResponse:
    """Answer with another page to load by GET."""
    return RedirectResponse(where, 303, _NOT_KEPT)


def set_cookie(site: Site, response: Response, name: str, value: str) -> None:
    """Set a cookie that scripts cannot read and other sites cannot use."""
    response.set_cookie(
        name, value, max_age=_DAYS * 86400, httponly=True, samesite="lax", secure=site.secure, path="/"
    )


def find_direction(language: str) -> str:
    """Find the direction in which a language is written: ltr or rtl."""
    return "rtl" if language.split("-", maxsplit=1)[0].lower() in _RIGHT_TO_LEFT else "ltr"
