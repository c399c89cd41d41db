"""Tokens as TRL makes them of prompts and completions, with the tokenizers package alone.

As transformers' `apply_chat_template` renders a conversation, and TRL 1.16 ends plain text: with the
end-of-sequence token, unless it ends so already.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ....schemas.errors import GateError
from ....schemas.support.chat_template import (
    Messages,
    Render,
    compile_chat_template,
    find_chat_template,
    read_special_tokens,
    read_tokenizer_config,
    read_tokenizer_files,
)
from ....schemas.support.json_text.values import parse_json

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@dataclass(frozen=True)
class Encoder:
    """A tokenizer as TRL would use it: the chat template, or None for plain text, and the end token."""

    tokenizer: "Tokenizer"
    render: Render | None
    end: str
    faithful: bool
    """True if every token has at least one byte, and different texts (in NFC) have different tokens."""


def read_encoder(name: str, conversational: bool = True) -> Encoder:
    """Read a tokenizer from a folder with tokenizer.json, or from the Hub by its name.

    Raises GateError without the package, for an invalid tokenizer, and without a chat template if prompts are
    conversations.
    """
    try:
        from tokenizers import Tokenizer  # comes with transformers, not with Preceptor
    except ImportError as error:
        raise GateError(f"tokenizer: needs a package ({error}): pip install tokenizers") from error
    files = read_tokenizer_files(name)
    try:
        tokenizer = Tokenizer.from_str(files["tokenizer.json"])
    except Exception as error:  # tokenizers raises nothing narrower
        raise GateError(f"tokenizer: {name}: cannot be read: {error}") from error
    config = read_tokenizer_config(name, files)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    faithful = _is_faithful(parse_json(files["tokenizer.json"]))
    tokens = read_special_tokens(config)
    if not conversational:
        return Encoder(tokenizer, None, tokens["eos_token"], faithful)
    template = find_chat_template(files, config)
    if not template:
        raise GateError(
            f"tokenizer: {name} has no chat template, which format: conversational needs; "
            "name the tokenizer of a chat model, or use format: plain"
        )
    return Encoder(tokenizer, compile_chat_template(template, tokens), tokens["eos_token"], faithful)


def encode(encoder: Encoder, texts: Sequence[str]) -> list[list[int]]:
    """Encode rendered texts as lists of token ids."""
    # A chat template writes special tokens itself.
    encoded = encoder.tokenizer.encode_batch_fast(list(texts), add_special_tokens=encoder.render is None)
    return [one.ids for one in encoded]


def render_texts(
    encoder: Encoder, prompts: Sequence[Messages], completions: Sequence[str] | None
) -> Iterator[str]:
    """Yield the text of each prompt with its completion; without completions, of the prompt alone."""
    for messages, completion in zip(prompts, completions or (None,) * len(prompts), strict=True):
        if encoder.render is not None:
            answer = [] if completion is None else [{"role": "assistant", "content": completion}]
            yield encoder.render([*messages, *answer], completion is None)
        elif completion is None or completion.endswith(encoder.end):
            yield messages[-1]["content"] + (completion or "")
        else:
            yield messages[-1]["content"] + completion + encoder.end


def _is_faithful(tokenizer: dict[str, Any]) -> bool:
    """Return true if a tokenizer.json merges bytes and loses none, as in most models."""
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
    """Return true if some byte has no token, so that it would be left out or be unknown."""
    from tokenizers.pre_tokenizers import ByteLevel

    return not set(ByteLevel.alphabet()) <= vocab.keys()
