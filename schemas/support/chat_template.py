"""Chat templates as transformers renders them, without transformers.

folder/tokenizer.json          the tokenizer
folder/tokenizer_config.json   special tokens, and the chat template
folder/chat_template.jinja     the chat template, if it has a file of its own
"""

import ctypes
import json
import re
import threading
import time
from collections.abc import Callable
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from ..errors import EndlessTemplateError, GateError
from .files import find_leading_out
from .json_text.values import parse_json

Messages = list[dict[str, str]]
Render = Callable[[Messages, bool], str]
T = TypeVar("T")
SECONDS = 20.0  # that one rendering may take; the longest templates take milliseconds
LARGEST = 1_000_000  # numbers in a template, and characters that a template repeats
_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
_SPECIAL = ("bos_token", "eos_token", "pad_token", "unk_token")


def read_chat_template(folder: Path) -> tuple[str, Render] | None:
    """Read a model folder's chat template: its text and a function that renders messages, or None.

    Raises GateError if the tokenizer's files are missing or not JSON, or the template cannot be compiled.
    """
    files = read_tokenizer_files(str(folder))
    config = read_tokenizer_config(str(folder), files)
    template = find_chat_template(files, config)
    tokens = read_special_tokens(config)
    return (template, compile_chat_template(template, tokens)) if template else None


def read_tokenizer_files(name: str) -> dict[str, str]:
    """Read the files of a tokenizer, from a folder or the Hub, as {file name: text}.

    Raises GateError if there is no tokenizer.json.
    """
    folder = Path(name)
    if not folder.is_dir():
        folder = _from_hub(name)
    if out := find_leading_out(folder, _FILES):
        raise GateError(f"tokenizer: {name}: {out[0]} leads out of the folder; put the file itself there")
    try:
        found = {
            one: (folder / one).read_text(encoding="utf-8") for one in _FILES if (folder / one).is_file()
        }
    except ValueError as error:
        raise GateError(f"tokenizer: {name}: its files are no text: {error}; get the model again") from error
    if "tokenizer.json" not in found:
        raise GateError(
            f"tokenizer: {name} holds no tokenizer.json; name a folder that does, or a model on the Hub"
        )
    return found


def read_tokenizer_config(name: str, files: dict[str, str]) -> dict[str, Any]:
    """Read tokenizer_config.json among a tokenizer's files; {} if it has none.

    Raises GateError if it is not a JSON object.
    """
    try:
        config = parse_json(files.get("tokenizer_config.json", "{}"))
    except ValueError as error:
        raise GateError(f"tokenizer: {name}: tokenizer_config.json is not JSON: {error}") from error
    if not isinstance(config, dict):
        raise GateError(f"tokenizer: {name}: tokenizer_config.json is no JSON object; get the model again")
    return config


def find_chat_template(files: dict[str, str], config: dict[str, Any]) -> str | None:
    """Return the default chat template of a tokenizer's files; None if it has none."""
    template = files.get("chat_template.jinja") or config.get("chat_template")
    if isinstance(template, list):  # several, by name
        template = next((one["template"] for one in template if one["name"] == "default"), None)
    return str(template) if template else None


def read_special_tokens(config: dict[str, Any]) -> dict[str, str]:
    """Read the texts of the special tokens in tokenizer_config.json; "" for those it does not name."""
    return {token: _token(config.get(token)) for token in _SPECIAL}


def compile_chat_template(template: str, tokens: dict[str, str]) -> Render:
    """Compile a chat template in a sandbox, with the functions that transformers gives it.

    Raises GateError if the template cannot be compiled, EndlessTemplateError as `check_template`. The
    returned function raises GateError if the template refuses a conversation, EndlessTemplateError if it does
    not come to an end.
    """
    import jinja2
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def refuse(message: str) -> None:
        raise jinja2.TemplateError(message)

    class Bounded(ImmutableSandboxedEnvironment):
        """A sandbox in which a template can repeat no text without end."""

        intercepted_binops = frozenset(["*"])

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            size = max(len(one) if hasattr(one, "__len__") else 0 for one in (left, right))
            times = max(one if isinstance(one, int) else 1 for one in (left, right))
            if size and times * size > LARGEST:
                raise jinja2.TemplateError(f"it repeats a text {times:,} times")
            return super().call_binop(context, operator, left, right)

    check_template(template)
    env = Bounded(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
    env.filters["tojson"] = lambda value, indent=None: json.dumps(value, ensure_ascii=False, indent=indent)
    env.globals |= {"raise_exception": refuse, "strftime_now": lambda form: datetime.now().strftime(form)}
    try:
        compiled = env.from_string(_without_marks(template))
    except (jinja2.TemplateError, RecursionError) as error:
        raise GateError(f"tokenizer: its chat template cannot be read: {error}") from error

    def render(messages: Messages, to_be_answered: bool) -> str:
        try:
            return run_bounded(
                lambda: compiled.render(
                    messages=messages, add_generation_prompt=to_be_answered, tools=None, **tokens
                )
            )
        except EndlessTemplateError:
            raise
        except Exception as error:  # a template can raise whatever its expressions do
            raise GateError(f"tokenizer: its chat template refuses a prompt: {error}") from error

    return render


@cache
def check_template(template: str) -> None:
    """Raise EndlessTemplateError for powers and numbers that no chat template needs, but endless ones.

    Python cannot be stopped while it computes one of these. A template that cannot be parsed passes: whoever
    compiles it says so.
    """
    import jinja2
    from jinja2 import nodes
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    try:
        env = ImmutableSandboxedEnvironment(extensions=["jinja2.ext.loopcontrols"])
        tree = env.parse(_without_marks(template))
    except (jinja2.TemplateError, RecursionError):
        return
    large = (one.value for one in tree.find_all(nodes.Const) if isinstance(one.value, int))
    if tree.find(nodes.Pow) or any(abs(one) > LARGEST for one in large):
        raise EndlessTemplateError(
            "the chat template computes powers (**) or with numbers above a million, which no model needs: "
            "do not use this model, or mend its template"
        )


def apply_chat_template(tokenizer: Any, dialogues: Any, **more: Any) -> Any:
    """Call the `apply_chat_template` of a tokenizer of transformers.

    Raises EndlessTemplateError if its template does not come to an end.
    """
    templates = more.get("chat_template") or tokenizer.chat_template
    for template in templates.values() if isinstance(templates, dict) else [templates]:
        check_template(template)
    return run_bounded(lambda: tokenizer.apply_chat_template(dialogues, **more))


class _TimeIsUp(BaseException):  # which no template's machinery catches
    """Raised inside a rendering that takes too long."""


_running: dict[object, tuple[float, int]] = {}  # when each rendering must be done, and its thread
_lock = threading.Lock()
_watch: list[threading.Thread] = []


def run_bounded(render: Callable[[], T]) -> T:
    """Call what renders a template of a stranger's; after SECONDS it is stopped, in any thread.

    Raises EndlessTemplateError if it was.
    """
    if not (_watch and _watch[0].is_alive()):  # none yet, or this is a child of the process that had one
        _watch[:] = [threading.Thread(target=_stop_late, name="preceptor-templates", daemon=True)]
        _watch[0].start()
    mine = object()
    try:
        with _lock:
            _running[mine] = (time.monotonic() + SECONDS, threading.get_ident())
        try:
            return render()
        finally:
            with _lock:
                _running.pop(mine, None)
    except _TimeIsUp:
        _running.pop(mine, None)
        raise EndlessTemplateError(
            f"the template took more than {SECONDS:g} seconds for one text, and was stopped: it does not "
            "come to an end; do not use this model, or mend its template"
        ) from None


def _stop_late() -> None:
    """Stop renderings whose time is up, for ever."""
    while True:
        time.sleep(min(SECONDS, 1) / 4)
        with _lock:
            late = [one for one, (end, _) in _running.items() if time.monotonic() > end]
            for one in late:
                _, thread = _running.pop(one)
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(thread), ctypes.py_object(_TimeIsUp)
                )


def _without_marks(template: str) -> str:
    """Remove transformers' tag for the parts to be learned, which changes no text."""
    template = re.sub(r"(\{%[-+]?\s*)generation\b", r"\1if true", template)
    return re.sub(r"(\{%[-+]?\s*)endgeneration\b", r"\1endif", template)


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
    )

    try:
        return Path(snapshot_download(name, allow_patterns=list(_FILES)))
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise GateError(
            f"tokenizer: {name}: no such folder, and not to be had from the Hub ({type(error).__name__}); "
            "name a folder with tokenizer.json"
        ) from error


def _token(written: Any) -> str:
    """A special token as tokenizer_config.json writes it: its text, or an object that holds it."""
    return str(written["content"]) if isinstance(written, dict) else str(written or "")
