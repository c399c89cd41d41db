"""The pages as an ASGI application."""

import sqlite3
from collections.abc import Iterable
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from .....schemas.errors import StudyError
from . import annotator_pages as annotator
from . import joining
from . import learner_pages as learner
from . import teacher_pages as teacher
from .guard import App, Rates, wrap_app
from .site import NobodyError, NoConsentError, Site, render_page, send_to

_STATIC = Path(__file__).parent / "static"
_TYPES = {
    "style.css": "text/css",
    "study.js": "text/javascript",
    "judge.js": "text/javascript",
    "icon.svg": "image/svg+xml",
    "icon.png": "image/png",
    "sw.js": "text/javascript",
}


def make_app(
    site: Site, hosts: Iterable[str], *, joins: Rates | None = None, posts: Rates | None = None
) -> App:
    """Make the application of a study that answers to these host names."""
    own = list_campaign_routes() if site.is_campaign else list_study_routes()
    app = Starlette(
        routes=[
            *own,
            Route("/l/{token}", joining.open_link),
            Route("/join", joining.show_join, methods=["GET"]),
            Route("/join", joining.join, methods=["POST"]),
            Route("/consent", joining.show_consent, methods=["GET"]),
            Route("/consent", joining.take_consent, methods=["POST"]),
            Route("/me", learner.show_me),
            Route("/me/answers.json", learner.send_data),
            Route("/language", learner.set_language, methods=["POST"]),
            Route("/withdraw", learner.leave, methods=["POST"]),
            Route("/t/{token}", teacher.open_teacher_link),
            Route("/static/{name}", send_static),
            Route("/manifest.webmanifest", send_manifest),
        ],
        exception_handlers={
            NobodyError: _ask_for_link,
            NoConsentError: _ask_consent,
            StudyError: _explain_fault,
            sqlite3.Error: _explain_disk,
            HTTPException: _explain_status,
        },
    )
    app.state.site = site
    return wrap_app(app, hosts, joins or Rates(120, 1), posts or Rates(60, 5))


def list_study_routes() -> list[Route]:
    """List the pages of a study alone."""
    return [
        Route("/", learner.show_next),
        Route("/answer", learner.answer, methods=["POST"]),
        Route("/result/{uid}", learner.show_result),
        Route("/say/{kind}", learner.take_more, methods=["POST"]),
        Route("/pack", learner.send_pack),
        Route("/offline", show_offline),
        Route("/teacher", teacher.show_class),
        Route("/teacher/answers.csv", teacher.send_answers),
        Route("/sw.js", send_worker),
    ]


def list_campaign_routes() -> list[Route]:
    """List the pages of a campaign alone."""
    return [
        Route("/", annotator.show_question),
        Route("/judge", annotator.judge, methods=["POST"]),
        Route("/undo", annotator.undo, methods=["POST"]),
        Route("/reopen", annotator.return_questions, methods=["POST"]),
        Route("/guidelines", annotator.show_guidelines),
        Route("/teacher", annotator.show_team),
    ]


async def show_offline(request: Request) -> Response:
    """Show the page that a device shows while it is offline."""
    response = render_page(request.app.state.site, request, "offline.jinja")
    response.headers["cache-control"] = "no-cache"
    return response


async def send_static(request: Request) -> Response:
    """Send a file that belongs to the pages."""
    name = request.path_params["name"]
    if name not in _TYPES:
        raise HTTPException(404)
    return FileResponse(_STATIC / name, media_type=_TYPES[name], headers={"cache-control": "no-cache"})


async def send_worker(_: Request) -> Response:
    """Send the script that keeps pages on a device; it must come from the top folder."""
    return FileResponse(
        _STATIC / "sw.js", media_type="text/javascript", headers={"cache-control": "no-cache"}
    )


async def send_manifest(request: Request) -> Response:
    """Send what a phone needs to install the pages."""
    name = "Questions" if request.app.state.site.is_campaign else "Study"
    return JSONResponse(
        {
            "name": name,
            "short_name": name,
            "start_url": "/",
            "display": "standalone",
            "background_color": "#ffffff",
            "theme_color": "#1d4f91",
            "icons": [
                {"src": "/static/icon.svg", "sizes": "any", "type": "image/svg+xml"},
                {"src": "/static/icon.png", "sizes": "192x192", "type": "image/png"},
            ],
        },
        media_type="application/manifest+json",
    )


def _wants_json(request: Request) -> bool:
    return "application/json" in request.headers.get("accept", "")


async def _ask_for_link(request: Request, _: Exception) -> Response:
    if _wants_json(request):
        return JSONResponse({"kept": False}, 401)
    return send_to("/join") if request.method == "GET" else _show(request, "use_link", 401)


async def _ask_consent(request: Request, _: Exception) -> Response:
    return JSONResponse({"kept": False}, 409) if _wants_json(request) else send_to("/consent")


async def _explain_fault(request: Request, error: Exception) -> Response:
    if _wants_json(request):
        return JSONResponse({"kept": False, "why": str(error)[:200]}, 422)
    return _show(request, "not_possible", 422)


async def _explain_disk(request: Request, _: Exception) -> Response:
    if _wants_json(request):
        return JSONResponse({"kept": False}, 503)
    return _show(request, "not_kept", 503)


async def _explain_status(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    if _wants_json(request):
        return JSONResponse({"kept": False}, status)
    return _show(
        request, "form_old" if status == 403 else "not_found" if status == 404 else "not_possible", status
    )


def _show(request: Request, message: str, status: int) -> Response:
    return render_page(request.app.state.site, request, "message.jinja", status=status, message=message)
