"""Chat templates as transformers renders them, without transformers.

folder/tokenizer.json          the tokenizer
folder/tokenizer_config.json   special tokens, and the chat template
folder/chat_template.jinja     the chat template, if it has a file of its own
"""

import json
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from ..errors import GateError
from .json_text.values import parse_json

Messages = list[dict[str, str]]
Render = Callable[[Messages, bool], str]
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

    Raises GateError if the template cannot be compiled. The returned function raises GateError if the
    template refuses a conversation.
    """
    import jinja2
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def refuse(message: str) -> None:
        raise jinja2.TemplateError(message)

    env = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    env.filters["tojson"] = lambda value, indent=None: json.dumps(value, ensure_ascii=False, indent=indent)
    env.globals |= {"raise_exception": refuse, "strftime_now": lambda form: datetime.now().strftime(form)}
    # transformers' tag for the parts to be learned, which changes no text
    template = re.sub(r"(\{%[-+]?\s*)generation\b", r"\1if true", template)
    template = re.sub(r"(\{%[-+]?\s*)endgeneration\b", r"\1endif", template)
    try:
        compiled = env.from_string(template)
    except (jinja2.TemplateError, RecursionError) as error:
        raise GateError(f"tokenizer: its chat template cannot be read: {error}") from error

    def render(messages: Messages, to_be_answered: bool) -> str:
        try:
            return compiled.render(
                messages=messages, add_generation_prompt=to_be_answered, tools=None, **tokens
            )
        except Exception as error:  # a template can raise whatever its expressions do
            raise GateError(f"tokenizer: its chat template refuses a prompt: {error}") from error

    return render


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
