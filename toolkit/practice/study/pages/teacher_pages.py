"""The teacher's page, behind a link of its own: progress, who is stuck, what is hard, all as CSV."""

import csv
import hmac
import io
import json
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ..journal.database import Journal, read_study_settings
from ..journal.progress import list_class, list_hard_items
from .site import TEACHER_COOKIE, NobodyError, get_site, render_page, send_to, set_cookie

_COLUMNS = ("name", "at", "kind", "item", "shown", "given", "verdict", "consent")


async def open_teacher_link(request: Request) -> Response:
    """Open the teacher's link."""
    site, token = get_site(request), request.path_params["token"]
    settings = await site.writer.run(read_study_settings)
    if not hmac.compare_digest(token.encode(), str(settings["teacher"]).encode()):
        return render_page(site, request, "message.jinja", status=404, message="link_unknown")
    response = send_to("/teacher")
    set_cookie(site, response, TEACHER_COOKIE, token)
    return response


async def show_class(request: Request) -> Response:
    """Show the class."""
    site = get_site(request)

    def job(con: Journal) -> tuple[str, list[dict[str, Any]], list[dict[str, Any]], int]:
        settings = _check_teacher(con, request)
        hard = [row | {"answers": json.loads(row["answers"])} for row in list_hard_items(con)]
        ((left,),) = con.execute("SELECT count(*) FROM withdrawals").fetchall()
        return settings["study"], list_class(con), hard, left

    study, people, hard, left = await site.writer.run(job)
    return render_page(site, request, "teacher.jinja", study=study, people=people, hard=hard, left=left)


async def send_answers(request: Request) -> Response:
    """Send all answers of the class as CSV."""
    site = get_site(request)

    def job(con: Journal) -> list[Any]:
        _check_teacher(con, request)
        return con.execute(
            """SELECT p.name, e.at, e.kind, e.item, i.shown, e.body, e.consent FROM events e
            JOIN people p ON p.id = e.person LEFT JOIN items i ON i.id = e.item ORDER BY e.seq"""
        ).fetchall()

    rows = await site.writer.run(job)
    out = io.StringIO()
    table = csv.writer(out)
    table.writerow(_COLUMNS)
    for name, at, kind, item, shown, body, consent in rows:
        read = json.loads(body)
        given = read.get("given", read.get("choice", read.get("grade", "")))
        cells = (name, at, kind, item, shown, given, read.get("verdict", ""), consent)
        table.writerow([defuse_cell(cell) for cell in cells])
    headers = {"content-disposition": 'attachment; filename="answers.csv"', "cache-control": "no-store"}
    return Response(out.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)


def _check_teacher(con: Journal, request: Request) -> dict[str, Any]:
    settings = read_study_settings(con)
    token = request.cookies.get(TEACHER_COOKIE, "")
    if not hmac.compare_digest(token.encode(), str(settings["teacher"]).encode()):
        raise NobodyError
    return settings


def defuse_cell(cell: Any) -> str:
    """Write a cell so that no spreadsheet takes a learner's text for a formula."""
    text = "" if cell is None else str(cell)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
