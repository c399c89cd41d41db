"""Client of the Hugging Face Hub: token, retries, errors in plain words.

The client (huggingface_hub) takes HF_ENDPOINT, HF_TOKEN and HF_HOME from the environment when it is
imported; so this module is imported only by the commands that need it. Only the client uses the token: it is
never stored, printed or logged here.
"""

import json
import logging
import os
import re
from collections.abc import Callable
from typing import Literal, TypeVar

import datasets
import httpx2
from huggingface_hub import HfApi, constants, get_token
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils._validators import validate_repo_id
from huggingface_hub.utils.tqdm import disable_progress_bars

from ...schemas.errors import HubError, HubNameError
from ...schemas.support.hosts import check_network, hide_userinfo, keep_local_direct
from ...schemas.support.retry import retry

WAITS = (1.0, 2.0, 4.0, 8.0)  # seconds before each new attempt
_LONGEST_WAIT = 300.0  # seconds, if the Hub asks for more: its limits are per five minutes
_PASSING = {408, 429, 500, 502, 503, 504}
_TOKENS_PAGE = "https://huggingface.co/settings/tokens"
Say = Callable[[str], None]
Kind = Literal["dataset", "model"]
_EXAMPLES = {"dataset": "lab/tutor-preferences", "model": "lab/tutor"}
T = TypeVar("T")


def connect() -> HfApi:
    """Make a quiet client: without logs (they would contain signed addresses) and without bars in pipes.

    Raises HubError, naming the variable, if the token, the proxy or the certificates cannot be used.
    """
    keep_local_direct(constants.ENDPOINT)
    check_network(constants.ENDPOINT, HubError)
    _check_characters(get_token())
    datasets.config.HF_ENDPOINT = constants.ENDPOINT  # which has lost a slash at its end, if there was one
    for name in ("huggingface_hub", "datasets"):
        logging.getLogger(name).setLevel(logging.ERROR)
    if not os.isatty(2):
        disable_progress_bars()
    return HfApi()


def get_endpoint() -> str:
    """Return the address of the Hub, without a password: it is shown, stored and published."""
    return hide_userinfo(constants.ENDPOINT)


def make_page_url(repo: str, kind: Kind) -> str:
    """Return the address of a repository's page."""
    return f"{get_endpoint()}/{'datasets/' if kind == 'dataset' else ''}{repo}"


def check_token() -> None:
    """Check the token. Raises HubError if there is none, or if it has a character that no token has."""
    token = get_token()
    if token is None:
        raise HubError(
            f"no token for {get_endpoint()}: set HF_TOKEN, or log in with 'hf auth login'; a token that may "
            f"write is made at {_TOKENS_PAGE}"
        )
    _check_characters(token)


def _check_characters(token: str | None) -> None:
    """Raise HubError for a token that no header can carry; the client's error would show it."""
    if token is not None and not re.fullmatch(r"[!-~]+", token):
        raise HubError(
            "the token (HF_TOKEN, or that of 'hf auth login') holds a space or a sign that no "
            "token has; copy it again"
        )


def check_repo_id(repo: str, kind: Kind = "dataset") -> None:
    """Check the name of a repository.

    Raises HubNameError unless it is OWNER/NAME in characters that the Hub accepts.
    """
    try:
        validate_repo_id(repo)
        well = repo.count("/") == 1
    except HFValidationError:
        well = False
    if not well:
        raise HubNameError(
            f"{repo}: is no name of a {kind}; expected OWNER/NAME, such as {_EXAMPLES[kind]}, in "
            "letters, digits and - _ . (single ones inside)"
        )


def find_status(error: BaseException) -> int | None:
    """Find the HTTP status that an error carries; None without one."""
    root = _root(error)
    return root.response.status_code if isinstance(root, HfHubHTTPError) else None


def _root(error: BaseException) -> BaseException:
    """Find the failed request, which the libraries wrap in errors of their own."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, HfHubHTTPError | httpx2.HTTPError | OSError):
        cause = cause.__cause__
    return cause or error


def is_passing(error: BaseException) -> bool:
    """True if the same request may succeed a little later."""
    root = _root(error)
    if isinstance(root, OfflineModeIsEnabled):
        return False
    if status := find_status(root):
        return status in _PASSING
    # A failed download is reported as missing from the cache; an overloaded Hub answers in HTML.
    passing = (
        httpx2.TimeoutException,
        httpx2.NetworkError,
        httpx2.RemoteProtocolError,
        ConnectionError,
        TimeoutError,
        LocalEntryNotFoundError,
        json.JSONDecodeError,
    )
    return isinstance(root, passing)


def call_patiently(call: Callable[[], T], say: Say) -> T:
    """Call, retrying transient failures, `len(WAITS)` times at most.

    The client itself retries uploads and downloads, but not the creation of a repository, the validation
    of a card or a commit. `call` must be one that can be repeated. Raises what the last attempt raised.
    """

    def pause_after(error: Exception, wait: float) -> float | None:
        if not is_passing(error):
            return None
        seconds = max(wait, _asked_for(error))
        say(f"{_why(error)}; trying again in {seconds:g} s")
        return seconds

    return retry(call, WAITS, pause_after)


def _asked_for(error: BaseException) -> float:
    """Return the seconds that the Hub asks to wait, 0 if it does not."""
    root = _root(error)
    said = root.response.headers.get("Retry-After", "") if isinstance(root, HfHubHTTPError) else ""
    return min(float(said), _LONGEST_WAIT) if said.isdigit() else 0.0


def explain_error(error: Exception, repo: str, doing: str, remedy: str, kind: Kind = "dataset") -> HubError:
    """Explain an error of the Hub or the network in plain words.

    `doing` names the step that failed, `remedy` what to do if the failure is not the user's mistake.
    """
    mistake = _mistake(error, repo, doing, kind)
    named = isinstance(_root(error), RevisionNotFoundError | RepositoryNotFoundError)
    # Of a gated repository the name is right, although its error is a kind of RepositoryNotFoundError.
    wrong_name = named and not isinstance(_root(error), GatedRepoError)
    return (HubNameError if wrong_name else HubError)(
        f"{repo}: {mistake or f'{doing} failed: {_why(error)}; {remedy}'}"
    )


def _mistake(error: BaseException, repo: str, doing: str, kind: Kind) -> str | None:
    """Explain the mistake of the user, and how to mend it; None if the failure is something else."""
    error = _root(error)
    at = make_page_url(repo.partition("@")[0], kind)
    status, token = find_status(error), get_token()
    log_in = "" if token else "; if it is private, set HF_TOKEN or log in with 'hf auth login'"
    cases = (
        (isinstance(error, OfflineModeIsEnabled), "HF_HUB_OFFLINE forbids to use the network; unset it"),
        (isinstance(error, GatedRepoError), f"its owner wants to be asked first; do so at {at}"),
        (
            isinstance(error, RevisionNotFoundError),
            f"no such revision; branches and tags are listed at {at}/tree/main",
        ),
        (
            isinstance(error, RepositoryNotFoundError),
            f"no {kind} of that name that you may see; check the name{log_in}",
        ),
        (
            status == 401,
            f"{get_endpoint()} does not accept the token (HF_TOKEN, or that of 'hf auth login'); "
            f"give a valid one: {_TOKENS_PAGE}",
        ),
        (
            status == 403,
            f"{doing} is not allowed to this token{_says(error)}; use one that may write as "
            f"{repo.partition('/')[0]} ({_TOKENS_PAGE}), or another OWNER/NAME",
        ),
    )
    return next((text for holds, text in cases if holds), None)


def _says(error: BaseException) -> str:
    server = getattr(error, "server_message", None)
    return f" (the Hub says: {_one_line(server).rstrip('.')})" if server else ""


def _why(error: BaseException) -> str:
    """Describe a failure in a few words."""
    if status := find_status(error):
        said = {429: "the Hub asks to slow down (429)"}
        return said.get(status, f"the Hub answered {status}{'' if status in _PASSING else _says(error)}")
    if isinstance(_root(error), httpx2.ConnectError | ConnectionError):
        return f"{get_endpoint()} cannot be reached"
    if is_passing(error):
        return f"the connection to {get_endpoint()} broke off, or it gave no sensible answer"
    return _one_line(str(error)) or type(error).__name__


def _one_line(text: str) -> str:
    """Write a text as one line, without the token."""
    line = " ".join(text.split())
    token = get_token()
    return line.replace(token, "<token>") if token else line
