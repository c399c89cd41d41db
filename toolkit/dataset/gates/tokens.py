"""Tokens as TRL makes them of prompts and completions, with the tokenizers package alone.

    folder/tokenizer.json          what turns text into tokens
    folder/tokenizer_config.json   special tokens, and the chat template
    folder/chat_template.jinja     or here

As transformers' `apply_chat_template` renders a conversation, and TRL 1.16 ends plain text: with the
end-of-sequence token, unless it ends so already.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ....schemas.errors import GateError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Messages = list[dict[str, str]]
Render = Callable[[Messages, bool], str]
_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
_SPECIAL = ("bos_token", "eos_token", "pad_token", "unk_token")


@dataclass(frozen=True)
class Encoder:
    """A tokenizer as TRL would use it: the chat template, or None for plain text, and the end token."""

    tokenizer: "Tokenizer"
    render: Render | None
    end: str
    faithful: bool
    """Whether every token is of a byte at least, and texts (in NFC) that differ have tokens that do."""


def read_encoder(name: str, conversational: bool = True) -> Encoder:
    """A tokenizer from a folder with tokenizer.json, or from the Hub by its name.

    GateError without the package, for what is no tokenizer, and without a chat template where
    prompts are conversations.
    """
    try:
        from tokenizers import Tokenizer  # comes with transformers, not with Preceptor
    except ImportError as error:
        raise GateError(f"tokenizer: needs a package ({error}): pip install tokenizers") from error
    files = _files(name)
    try:
        tokenizer = Tokenizer.from_str(files["tokenizer.json"])
        config = json.loads(files.get("tokenizer_config.json", "{}"))
    except Exception as error:  # tokenizers raises nothing narrower
        raise GateError(f"tokenizer: {name}: cannot be read: {error}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    faithful = _is_faithful(json.loads(files["tokenizer.json"]))
    tokens = {token: _token(config.get(token)) for token in _SPECIAL}
    if not conversational:
        return Encoder(tokenizer, None, tokens["eos_token"], faithful)
    template = _chat_template(files, config)
    if not template:
        raise GateError(
            f"tokenizer: {name} has no chat template, which format: conversational needs; "
            "name the tokenizer of a chat model, or use format: plain"
        )
    return Encoder(tokenizer, _template(template, tokens), tokens["eos_token"], faithful)


def read_chat_template(folder: Path) -> tuple[str, Render] | None:
    """A model folder's chat template, as text and as what renders a conversation; None where it has none."""
    files = _files(str(folder))
    try:
        config = json.loads(files.get("tokenizer_config.json", "{}"))
    except ValueError as error:
        raise GateError(f"tokenizer: {folder}: tokenizer_config.json is not JSON: {error}") from error
    template = _chat_template(files, config)
    tokens = {token: _token(config.get(token)) for token in _SPECIAL}
    return (template, _template(template, tokens)) if template else None


def _chat_template(files: dict[str, str], config: dict[str, Any]) -> str | None:
    template = files.get("chat_template.jinja") or config.get("chat_template")
    if isinstance(template, list):  # several, by name
        template = next((one["template"] for one in template if one["name"] == "default"), None)
    return str(template) if template else None


def encode(encoder: Encoder, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of rendered texts."""
    # A chat template writes special tokens itself.
    encoded = encoder.tokenizer.encode_batch_fast(list(texts), add_special_tokens=encoder.render is None)
    return [one.ids for one in encoded]


def rendered(
    encoder: Encoder, prompts: Sequence[Messages], completions: Sequence[str] | None
) -> Iterator[str]:
    """The text of each prompt with its completion; without completions, of the prompts alone."""
    for messages, completion in zip(prompts, completions or (None,) * len(prompts), strict=True):
        if encoder.render is not None:
            answer = [] if completion is None else [{"role": "assistant", "content": completion}]
            yield encoder.render([*messages, *answer], completion is None)
        elif completion is None or completion.endswith(encoder.end):
            yield messages[-1]["content"] + (completion or "")
        else:
            yield messages[-1]["content"] + completion + encoder.end


def _files(name: str) -> dict[str, str]:
    """The texts of a tokenizer's files, by their names."""
    folder = Path(name)
    if not folder.is_dir():
        folder = _from_hub(name)
    found = {one: (folder / one).read_text(encoding="utf-8") for one in _FILES if (folder / one).is_file()}
    if "tokenizer.json" not in found:
        raise GateError(
            f"tokenizer: {name} holds no tokenizer.json; name a folder that does, or a model on the Hub"
        )
    return found


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


def _is_faithful(tokenizer: dict[str, Any]) -> bool:
    """Of a tokenizer.json: merges of bytes with nothing lost, as most models have it."""
    before = tokenizer.get("pre_tokenizer") or {}
    steps = before.get("pretokenizers", [before])
    kinds = {step.get("type") for step in steps}
    loses = any(step.get("behavior") == "Removed" or step.get("add_prefix_space") for step in steps)
    eats_spaces = any(token["lstrip"] or token["rstrip"] for token in tokenizer.get("added_tokens") or [])
    return (
        tokenizer["model"]["type"] == "BPE"
        and {"ByteLevel"} <= kinds <= {"ByteLevel", "Split", "Digits"}
        and (tokenizer.get("normalizer") or {"type": "NFC"})["type"] == "NFC"
        and not loses
        and not eats_spaces
        and not _lacks_bytes(tokenizer["model"]["vocab"])
    )


def _lacks_bytes(vocab: dict[str, int]) -> bool:
    """Whether some byte has no token, so that it would be left out or be unknown."""
    from tokenizers.pre_tokenizers import ByteLevel

    return not set(ByteLevel.alphabet()) <= vocab.keys()


def _token(written: Any) -> str:
    """A special token as tokenizer_config.json writes it: its text, or an object that holds it."""
    return str(written["content"]) if isinstance(written, dict) else str(written or "")


def _template(template: str, tokens: dict[str, str]) -> Render:
    """A chat template, in a sandbox and with the functions that transformers gives it."""
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
    except jinja2.TemplateError as error:
        raise GateError(f"tokenizer: its chat template cannot be read: {error}") from error

    def render(messages: Messages, to_be_answered: bool) -> str:
        try:
            return compiled.render(
                messages=messages, add_generation_prompt=to_be_answered, tools=None, **tokens
            )
        except jinja2.TemplateError as error:
            raise GateError(f"tokenizer: its chat template refuses a prompt: {error}") from error

    return render
