"""How learners come in: by personal link or class code, and by consent."""

import hmac
import secrets
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from .....schemas.errors import StudyError
from ..journal.database import Journal, read_study_settings
from ..journal.people import add_person, derive_token, find_consent, find_learner, find_named, give_consent
from .site import (
    COOKIE,
    VISIT_COOKIE,
    Visit,
    check_form,
    check_uid,
    choose_language,
    get_site,
    make_uid,
    read_form,
    render_page,
    run_visit,
    send_to,
    set_cookie,
)


async def open_link(request: Request) -> Response:
    """Open a personal link: the browser is known from here on."""
    site = get_site(request)
    token = request.path_params["token"]
    if await site.writer.run(lambda con: find_learner(con, token)) is None:
        return render_page(site, request, "message.jinja", status=404, message="link_unknown")
    response = send_to("/")
    set_cookie(site, response, COOKIE, token)
    return response


async def show_join(request: Request) -> Response:
    """Show the form by which a class joins; without a class code, what to do instead."""
    return await _show_join(request, None, "")


async def _show_join(request: Request, fault: str | None, name: str, status: int = 200) -> Response:
    site = get_site(request)
    settings = await site.writer.run(read_study_settings)
    if not settings.get("code"):
        return render_page(site, request, "message.jinja", status=401, message="use_link")
    visit = request.cookies.get(VISIT_COOKIE) or secrets.token_hex(16)
    response = render_page(
        site,
        request,
        "join.jinja",
        status=status,
        fault=fault,
        name=name,
        form=site.make_signature("join", visit),
    )
    set_cookie(site, response, VISIT_COOKIE, visit)
    return response


async def join(request: Request) -> Response:
    """Add a learner by the class code, under a name of their own choice."""
    site = get_site(request)
    form = await read_form(request)
    expected = site.make_signature("join", request.cookies.get(VISIT_COOKIE, ""))
    if not hmac.compare_digest(str(form.get("csrf", "")).encode(), expected.encode()):
        raise HTTPException(403)
    code, name = str(form.get("code", "")).strip(), str(form.get("name", ""))
    now = site.clock()

    def job(con: Journal) -> tuple[str | None, str]:
        right = read_study_settings(con).get("code")
        if not right or not hmac.compare_digest(code.casefold().encode(), str(right).casefold().encode()):
            return None, "code_wrong"
        if find_named(con, " ".join(name.split())):
            return None, "name_taken"
        try:
            return add_person(con, site.secret, name, None, now), ""
        except StudyError:
            return None, "name_wrong"

    person, fault = await site.writer.run(job)
    if person is None:
        return await _show_join(request, fault, name[:60], 422)
    response = send_to("/")
    set_cookie(site, response, COOKIE, derive_token(site.secret, person))
    return response


async def show_consent(request: Request) -> Response:
    """Show the text of consent."""
    site = get_site(request)

    def job(con: Journal, visit: Visit) -> tuple[dict[str, Any], list[str]]:
        language = choose_language(request, visit.learner)
        return find_consent(con, language), list(visit.settings["languages"])

    visit, (consent, languages) = await run_visit(site, request, job, needs_consent=False)
    return render_page(
        site,
        request,
        "consent.jinja",
        learner=visit.learner,
        consent=consent,
        languages=languages,
        rubric=visit.settings.get("rubric") if site.is_campaign else None,
        uid=make_uid(),
    )


async def take_consent(request: Request) -> Response:
    """Take the learner's consent."""
    site = get_site(request)
    form = await read_form(request)
    check_form(site, request, form)
    uid, hash, clock = check_uid(form.get("uid")), str(form.get("consent", "")), site.tell_time()
    language = choose_language(request, None, str(form.get("language", "")))

    def job(con: Journal, visit: Visit) -> None:
        give_consent(con, clock, visit.learner.id, uid, hash, language)

    await run_visit(site, request, job, needs_consent=False)
    return send_to("/")
