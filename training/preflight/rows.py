"""Encode rows as TRL 1.16 does, in batches: `{prompt: "2+2? ", chosen: "4", rejected: "5"}` ->
`EncodedRow(prompt=[17, 5, …], full=[[17, 5, …, 9, EOS], [17, 5, …, 8, EOS]])`.

Follows `_prepare_dataset` of trl/trainer/{sft,dpo,kto}_trainer.py: a plain completion (or text) gets the EOS
token unless it ends with it; a conversation goes through the chat template, the prompt with what opens the
reply; prompt and prompt with completion are made into tokens apart; the completion begins where they part.
"""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from ...schemas.errors import EndlessTemplateError
from ...schemas.support.chat_template import apply_chat_template
from ...schemas.support.json_text.values import parse_json

Tokenizer = Any  # of transformers
Row = dict[str, Any]


@dataclass(frozen=True)
class RowForm:
    """Columns of prompt (None: whole texts or dialogues) and answers, and whether they are dialogues."""

    prompt: str | None
    answers: tuple[str, ...]
    conversational: bool

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that become tokens."""
        return (self.prompt, *self.answers) if self.prompt else self.answers


@dataclass(frozen=True)
class EncodedRow:
    """Token ids of a row: the prompt alone, and the prompt with each answer; `empty` marks empty answers.

    `assistant` marks the assistant's tokens of the first answer (1 or 0 each), only where they alone bear the
    loss.
    """

    prompt: list[int]
    full: list[list[int]]
    empty: list[bool]
    assistant: list[int] | None = None


def encode(
    batch: pa.Table, form: RowForm, tokenizer: Tokenizer, template: str | None, assistant_only: bool
) -> list[EncodedRow | str]:
    """Encode each row in turn; a row whose chat template fails becomes the template's message."""
    rows: list[Row] = batch.to_pylist()
    if not form.conversational:
        return _encode_plain(rows, form, tokenizer)
    if not {"tools", "chat_template_kwargs"} & set(batch.column_names):
        try:
            return list(_encode_dialogues(rows, form, tokenizer, template, assistant_only))
        except EndlessTemplateError:
            raise
        except Exception:  # noqa: S110  # a template raises what it likes; each row alone shows which one fails
            pass
    made: list[EncodedRow | str] = []
    for row in rows:
        try:
            made += _encode_dialogues([row], form, tokenizer, template, assistant_only)
        except EndlessTemplateError:
            raise
        except Exception as error:
            made.append(f"{type(error).__name__}: {' '.join(str(error).split())[:200]}")
    return made


def _encode_dialogues(
    rows: list[Row], form: RowForm, tokenizer: Tokenizer, template: str | None, assistant_only: bool
) -> list[EncodedRow]:
    given = {"chat_template": template} if template else {}
    if len(rows) == 1:  # only a row encoded alone may have its own arguments
        given |= _brought(rows[0])

    def written(dialogues: list[list[Row]], **more: Any) -> Any:
        return apply_chat_template(tokenizer, dialogues, **{"tokenize": False, **given, **more})

    empty = [[not _said(row[name]) for name in form.answers] for row in rows]
    asked = [row[form.prompt] if form.prompt else [] for row in rows]
    whole = [[*prompt, *row[name]] for name in form.answers for prompt, row in zip(asked, rows, strict=True)]
    if not all(asked if form.prompt else whole):
        raise ValueError("a dialogue without messages")
    prompts = written(asked, add_generation_prompt=True) if form.prompt else []
    marks = [None] * len(rows)
    if assistant_only:
        ends = written(whole, tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
        full, marks = ends["input_ids"], ends["assistant_masks"]
        opened = _tokens(prompts, tokenizer, add_special_tokens=False)
    else:
        ids = _tokens([*prompts, *written(whole)], tokenizer, add_special_tokens=False)
        opened, full = ids[: len(prompts)], ids[len(prompts) :]
    n = len(rows)
    return [EncodedRow(opened[i] if opened else [], full[i::n], empty[i], marks[i]) for i in range(n)]


def _encode_plain(rows: list[Row], form: RowForm, tokenizer: Tokenizer) -> list[EncodedRow | str]:
    eos, n = tokenizer.eos_token, len(rows)
    asked = [row[form.prompt] if form.prompt else "" for row in rows]
    texts = list(asked) if form.prompt else []
    for name in form.answers:
        said = [row[name] for row in rows]
        ended = [text if text.endswith(eos) else text + eos for text in said]
        texts += [prompt + text for prompt, text in zip(asked, ended, strict=True)]
    ids = _tokens(texts, tokenizer)
    prompts, ids = (ids[:n], ids[n:]) if form.prompt else ([[]] * n, ids)
    return [
        EncodedRow(prompts[i], ids[i::n], [not _said(rows[i][name]) for name in form.answers])
        for i in range(n)
    ]


def _tokens(texts: list[str], tokenizer: Tokenizer, **more: Any) -> list[list[int]]:
    """Token ids of each text; equal texts are encoded once, since pairs share prompts and answers."""
    if not texts:
        return []
    once = list(dict.fromkeys(texts))
    ids = tokenizer(once, return_attention_mask=False, verbose=False, **more)["input_ids"]
    of = dict(zip(once, ids, strict=True))
    return [of[text] for text in texts]


def _brought(row: Row) -> Row:
    """Arguments for the chat template that a row has: tools, and chat_template_kwargs."""
    if not {"tools", "chat_template_kwargs"} & set(row):
        return {}
    tools = row.get("tools")
    return {
        "tools": parse_json(tools) if isinstance(tools, str) else tools,
        **row.get("chat_template_kwargs", {}),
    }


def _said(answer: Any) -> bool:
    """True if an answer (text or messages) has any text or tool call."""
    if isinstance(answer, str):
        return bool(answer.strip())
    return any(m.get("tool_calls") or _text(m.get("content")).strip() for m in answer)


def _text(content: Any) -> str:
    if isinstance(content, list):  # parts
        return "".join(part.get("text") or "" for part in content)
    return content or ""


def count_common(a: list[int], b: list[int]) -> int:
    """Count the tokens that two sequences share at their beginning."""
    if b[: len(a)] == a:
        return len(a)
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
