"""The pages of annotators: a question of a campaign, its guidelines, what is left, the team."""

import hmac
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ..journal.database import Journal, read_study_settings
from ..journal.judgements import (
    choose_question,
    count_standing,
    find_question,
    keep_judgement,
    list_annotators,
    read_levels,
    read_side,
    return_skipped,
    undo_last,
)
from .learner_pages import read_extra
from .site import (
    COOKIE,
    TEACHER_COOKIE,
    NobodyError,
    Visit,
    check_form,
    check_uid,
    get_site,
    make_uid,
    read_form,
    render_page,
    run_visit,
    send_to,
)

SKIP = "skip"


async def show_question(request: Request) -> Response:
    """Show the question that is next, or what is left."""
    site = get_site(request)
    if not request.cookies.get(COOKIE):
        return send_to("/join")
    now = site.clock()

    def job(con: Journal, visit: Visit) -> tuple[Any, Any]:
        person, overlap = visit.learner.id, visit.settings["overlap"]
        found = choose_question(con, person, now, overlap)
        return found, count_standing(con, person, now, overlap)

    visit, (question, standing) = await run_visit(site, request, job)
    template = "finished.jinja" if question is None else "question.jinja"
    return render_page(
        site,
        request,
        f"campaign/{template}",
        learner=visit.learner,
        question=question,
        rubric=visit.settings["rubric"],
        standing=standing,
        uid=make_uid(),
    )


async def judge(request: Request) -> Response:
    """Take what an annotator gives to a question, or that they leave it out; it is on disk then."""
    site = get_site(request)
    form = await read_form(request)
    check_form(site, request, form)
    uid, key, clock = check_uid(form.get("uid")), str(form.get("question", "")), site.tell_time()
    choice, comment = str(form.get("choice", "")), str(form.get("comment", ""))
    extra = read_extra(form, int(clock.now.timestamp() * 1000))

    def job(con: Journal, visit: Visit) -> None:
        question, rubric = find_question(con, key), visit.settings["rubric"]
        given: dict[str, Any] | None
        if choice == SKIP:
            given = None
        elif rubric["kind"] == "pairwise":
            given = read_side(question, choice, rubric["tie"])
        else:
            values = [str(form.get(f"level-{n}", "")) for n in range(len(rubric["criteria"]))]
            given = dict(read_levels(rubric["criteria"], values))
        keep_judgement(con, clock, visit.learner.id, uid, question, given, comment, extra)

    await run_visit(site, request, job)
    return send_to("/")


async def undo(request: Request) -> Response:
    """Take back what the annotator gave last."""
    return await _do(request, undo_last)


async def return_questions(request: Request) -> Response:
    """Ask again what the annotator left out."""
    return await _do(request, return_skipped)


async def _do(request: Request, act: Any) -> Response:
    site = get_site(request)
    form = await read_form(request)
    check_form(site, request, form)
    uid, clock = check_uid(form.get("uid")), site.tell_time()
    await run_visit(site, request, lambda con, visit: act(con, clock, visit.learner.id, uid))
    return send_to("/")


async def show_guidelines(request: Request) -> Response:
    """Show the guidelines on a page of their own."""
    site = get_site(request)
    visit, rubric = await run_visit(
        site, request, lambda _, visit: visit.settings["rubric"], needs_consent=False
    )
    return render_page(site, request, "campaign/guidelines.jinja", learner=visit.learner, rubric=rubric)


async def show_team(request: Request) -> Response:
    """Show how far each annotator is, behind the link of those who ask."""
    site = get_site(request)

    def job(con: Journal) -> tuple[dict[str, Any], list[dict[str, Any]], Any, int]:
        settings = read_study_settings(con)
        token = request.cookies.get(TEACHER_COOKIE, "")
        if not hmac.compare_digest(token.encode(), str(settings["teacher"]).encode()):
            raise NobodyError
        ((left,),) = con.execute("SELECT count(*) FROM withdrawals").fetchall()
        return (
            settings,
            list_annotators(con),
            count_standing(con, "", site.clock(), settings["overlap"]),
            left,
        )

    settings, people, standing, left = await site.writer.run(job)
    return render_page(
        site,
        request,
        "campaign/team.jinja",
        campaign=settings["campaign"],
        people=people,
        standing=standing,
        left=left,
    )
