"""The learner's pages: link, consent, exercise, result, progress, own data, leaving."""

import asyncio
import json
from datetime import timedelta
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ..journal.answers import (
    UNGRADED,
    find_drawn,
    keep_answer,
    take_claim,
    take_grade,
    take_rating,
    take_vote,
)
from ..journal.database import Journal, open_journal
from ..journal.events import find_event
from ..journal.items import choose_items, choose_next, find_arm, find_item, list_options
from ..journal.judgements import count_standing
from ..journal.people import (
    collect_own_data,
    forget_bytes,
    withdraw,
)
from ..journal.progress import count_progress
from .site import (
    COOKIE,
    Site,
    Visit,
    check_form,
    check_uid,
    choose_language,
    get_site,
    make_rules,
    make_uid,
    read_form,
    render_html,
    render_page,
    run_visit,
    send_to,
)

_LONGEST_MS = 3_600_000
_PACK = 10  # items that a device keeps for when it is offline


async def show_next(request: Request) -> Response:
    """Show the exercise that is next, or when to come back."""
    site = get_site(request)
    if not request.cookies.get(COOKIE):
        return send_to("/join")
    now = site.clock()

    def job(con: Journal, visit: Visit) -> tuple[Any, dict[str, int], list[str]]:
        found = choose_next(con, visit.learner.id, now, visit.settings["daily"])
        options = list_options(found.item, visit.learner.id) if found.item else []
        return found, count_progress(con, visit.learner.id, now), options

    visit, (found, progress, options) = await run_visit(site, request, job)
    if found.item is None:
        minutes = None if found.again is None else max(1, round((found.again - now) / timedelta(minutes=1)))
        return render_page(
            site, request, "done.jinja", learner=visit.learner, minutes=minutes, progress=progress
        )
    return render_page(
        site,
        request,
        "exercise.jinja",
        learner=visit.learner,
        item=found.item,
        options=options,
        progress=progress,
        uid=make_uid(),
    )


async def send_pack(request: Request) -> Response:
    """Send the next forms, which a device keeps for when it is offline."""
    site = get_site(request)
    now = site.clock()

    def job(con: Journal, visit: Visit) -> list[tuple[dict[str, Any], list[str]]]:
        found = choose_items(con, visit.learner.id, now, visit.settings["daily"], _PACK)
        return [(item, list_options(item, visit.learner.id)) for item in found]

    visit, found = await run_visit(site, request, job)
    forms = [
        {
            "id": item["id"],
            "html": render_html(
                site,
                request,
                "parts/form.jinja",
                learner=visit.learner,
                item=item,
                options=options,
                uid=make_uid(),
            ),
        }
        for item, options in found
    ]
    return JSONResponse({"forms": forms}, headers={"cache-control": "no-store"})


async def answer(request: Request) -> Response:
    """Take an answer. It is on disk when this returns; the result is another page."""
    site = get_site(request)
    form = await read_form(request, lists=("words",))
    check_form(site, request, form)
    uid, item_id, clock = check_uid(form.get("uid")), str(form.get("item", "")), site.tell_time()
    extra = read_extra(form, int(clock.now.timestamp() * 1000))

    def job(con: Journal, visit: Visit) -> Any:
        rules = make_rules(site, visit.settings)
        given = _join_words(con, item_id, form["words"]) if form["words"] else str(form.get("given", ""))
        return keep_answer(con, clock, rules, visit.learner.id, uid, item_id, given, extra)

    _, done = await run_visit(site, request, job)
    if "application/json" in request.headers.get("accept", ""):
        return JSONResponse({"kept": True, "again": done.again, "next": f"/result/{uid}"})
    return send_to(f"/result/{uid}")


def _join_words(con: Journal, item_id: str, places: list[str]) -> str:
    """Join the words that were marked, by their places in the text."""
    item = find_item(con, item_id)
    words = item["shown"].split(" ") if item else []
    marked = sorted({int(place) for place in places if place.isascii() and place.isdigit()})
    return " ".join(words[place] for place in marked if place < len(words))


def read_extra(form: dict[str, Any], now_ms: int) -> dict[str, Any]:
    """Read what the device says of an answer: how long it took, and when, where it was sent later."""
    extra: dict[str, Any] = {}
    took, shown = str(form.get("took_ms", "")), str(form.get("shown_ms", ""))
    if took.isascii() and took.isdigit():
        extra["took_ms"] = min(int(took[:12]), _LONGEST_MS)
    elif shown.isascii() and shown.isdigit() and 0 <= now_ms - int(shown[:16]) <= _LONGEST_MS:
        extra["took_ms"] = now_ms - int(shown[:16])
    if said := str(form.get("device_at", "")):
        extra["device_at"] = said[:40]
    return extra


async def show_result(request: Request) -> Response:
    """Show whether an answer was right, the explanation, and now and then a question about it."""
    site = get_site(request)
    uid = check_uid(request.path_params["uid"])
    now = site.clock()

    def job(con: Journal, visit: Visit) -> dict[str, Any]:
        event = find_event(con, uid)
        if event is None or event["person"] != visit.learner.id or event["kind"] != "answer":
            raise HTTPException(404)
        return _collect_result(con, visit, event) | {"progress": count_progress(con, visit.learner.id, now)}

    visit, found = await run_visit(site, request, job)
    return render_page(site, request, "result.jinja", learner=visit.learner, uid=uid, **found)


def _collect_result(con: Journal, visit: Visit, event: dict[str, Any]) -> dict[str, Any]:
    uid, person = event["uid"], visit.learner.id
    item = find_item(con, event["item"])
    if item is None:
        raise HTTPException(404)
    drawn = find_drawn(con, person, item["prompt"]) if item["prompt"] else None
    both = find_event(con, f"{uid}-both")
    voted = find_event(con, f"{uid}-vote") is not None
    graded = find_event(con, f"{uid}-grade") is not None
    rubric, every = visit.settings.get("rubric"), visit.settings["rate_every"]
    ((nth,),) = con.execute(
        "SELECT count(*) FROM events WHERE person = ? AND kind = 'answer' AND seq <= ?",
        [person, event["seq"]],
    ).fetchall()
    rated = both or find_event(con, f"{uid}-rating")  # one question is enough
    criteria = _choose_criterion(rubric, nth // every) if every and nth % every == 0 and not rated else []
    return {
        "item": item,
        "given": event["body"]["given"],
        "verdict": event["body"]["verdict"],
        "claimed": find_event(con, f"{uid}-claim") is not None,
        "ungraded": event["body"]["verdict"] == UNGRADED and not graded,
        "explanation": find_arm(con, drawn["completion"]) if drawn else None,
        "both": [find_arm(con, both["body"][side]) for side in ("first", "second")]
        if both and not voted
        else None,
        "thanks": voted,
        "criteria": criteria if drawn else [],
    }


def _choose_criterion(rubric: dict[str, Any] | None, nth: int) -> list[tuple[int, dict[str, Any]]]:
    """Choose the one criterion to ask for now, with its place among them: each in its turn."""
    if not rubric:
        return []
    place = nth % len(rubric["criteria"])
    return [(place, rubric["criteria"][place])]


async def take_more(request: Request) -> Response:
    """Take what a learner says about an answer: a claim, a grade, a vote or a rating."""
    site = get_site(request)
    form = await read_form(request)
    check_form(site, request, form)
    kind, uid, clock = request.path_params["kind"], check_uid(form.get("uid")), site.tell_time()
    if kind not in _MORE:
        raise HTTPException(404)

    def job(con: Journal, visit: Visit) -> None:
        rules, person = make_rules(site, visit.settings), visit.learner.id
        if kind == "claim":
            take_claim(con, clock, rules, person, uid)
        elif kind == "grade":
            given = str(form.get("grade", ""))
            take_grade(con, clock, rules, person, uid, int(given) if given in ("1", "2", "3", "4") else 0)
        elif kind == "vote":
            take_vote(con, clock, person, uid, str(form.get("choice", "")))
        else:
            values = _read_ratings(form, (visit.settings.get("rubric") or {}).get("criteria") or [])
            take_rating(con, clock, person, uid, str(form.get("completion", "")), values)

    await run_visit(site, request, job)
    return send_to("/" if kind in ("grade", "rating") else f"/result/{uid}")


_MORE = ("claim", "grade", "vote", "rating")


def _read_ratings(form: dict[str, Any], criteria: list[dict[str, Any]]) -> dict[str, int]:
    given = {c["name"]: str(form.get(f"rate-{n}", "")) for n, c in enumerate(criteria)}
    most = {c["name"]: len(c["levels"]) for c in criteria}
    return {
        name: int(value)
        for name, value in given.items()
        if value.isascii() and value.isdigit() and 1 <= int(value) <= most[name]
    }


async def show_me(request: Request) -> Response:
    """Show the learner's own page: progress, link, data, language, leaving."""
    site = get_site(request)
    now = site.clock()

    def job(con: Journal, visit: Visit) -> Any:
        if site.is_campaign:
            return count_standing(con, visit.learner.id, now, visit.settings["overlap"])
        return count_progress(con, visit.learner.id, now)

    visit, progress = await run_visit(site, request, job)
    link = f"{str(request.base_url).rstrip('/')}/l/{request.cookies[COOKIE]}"
    return render_page(
        site,
        request,
        "me.jinja",
        learner=visit.learner,
        progress=progress,
        link=link,
        languages=visit.settings["languages"],
        current=choose_language(request, visit.learner),
    )


async def send_data(request: Request) -> Response:
    """Send everything that is kept of the learner, as a file."""
    site = get_site(request)
    _, data = await run_visit(
        site, request, lambda con, visit: collect_own_data(con, visit.learner.id), needs_consent=False
    )
    return Response(
        json.dumps(data, ensure_ascii=False, indent=2),
        media_type="application/json",
        headers={
            "content-disposition": 'attachment; filename="my-answers.json"',
            "cache-control": "no-store",
        },
    )


async def set_language(request: Request) -> Response:
    """Change the language of the learner's pages."""
    site = get_site(request)
    form = await read_form(request)
    check_form(site, request, form)
    language = choose_language(request, None, str(form.get("language", "")))

    def job(con: Journal, visit: Visit) -> None:
        con.execute("UPDATE people SET language = ? WHERE id = ?", [language, visit.learner.id])

    await run_visit(site, request, job)
    return send_to("/me")


async def leave(request: Request) -> Response:
    """Withdraw: remove everything of the learner from the journal at once."""
    site = get_site(request)
    form = await read_form(request)
    check_form(site, request, form)
    if form.get("sure") != "yes":
        return send_to("/me")
    now = site.clock()
    visit, _ = await run_visit(
        site, request, lambda con, visit: withdraw(con, visit.learner.id, now), needs_consent=False
    )
    await asyncio.to_thread(_empty_log, site)
    response = render_page(
        site, request, "message.jinja", message="withdrawn", language=visit.learner.language
    )
    response.delete_cookie(COOKIE, path="/")
    response.headers["clear-site-data"] = '"cache", "storage"'
    return response


def _empty_log(site: Site) -> None:
    with open_journal(site.folder) as con:
        forget_bytes(con)
