"""Check every row with the real tokenizer and chat template before a GPU is used.

    run_preflight({"train": rows}, "models/base", "dpo", PreflightSettings(max_length=512)).refusals
    -> Defect("dead_pairs", "train", 2, ("17", "401"), "2 pairs whose two completions are the same …")

What TRL 1.16 does with each row is done here without weights and counted (`count.py`): rows that it truncates
or silently drops, and tokens that bear the loss. `memory.py` estimates the GPU memory.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ...schemas.errors import RecipeError
from ...schemas.support.adapter_folders import explain_code
from ..stages.registry import STAGES
from ..stages.settings import PreflightSettings
from ..stages.stage import Stage
from .checks import (
    check_settings,
    check_stage,
    check_tokenizer,
    find_form,
    find_training_template,
    refuse,
)
from .count import RowRules, Tally, count_rows, summarise
from .records import Defect, MemoryEstimate, PreflightReport, SplitCounts
from .rows import RowForm, Tokenizer
from .vocabulary import check_vocabulary, count_embeddings
from .wording import WORDS, describe_defect

_TOGETHER = 1000  # rows in a batch; TRL packs as many together


def run_preflight(
    data: Mapping[str, Any],
    tokenizer: str | Path | Tokenizer,
    stage: str,
    settings: PreflightSettings | None = None,
) -> PreflightReport:
    """Check every row of every split as the trainer of `stage` will read it, and report the defects.

    `data`: split -> a pyarrow table, a datasets.Dataset or a list of dictionaries, with the stage's columns:
    prompt and completion (sft; or messages, or text), prompt, chosen and rejected (dpo, ipo; soft-dpo with p
    too), or prompt, completion and label (kto). All but p and label are texts or lists of messages. The split
    named train gives the steps. `tokenizer`: a folder or a name for AutoTokenizer, or a tokenizer (which is
    not changed). Do not train where the report has `refusals`. RecipeError for a stage, setting or tokenizer
    that does not exist; defects of rows raise nothing.
    """
    settings = settings or PreflightSettings()
    began = time.monotonic()
    check_stage(stage, settings)
    tokenizer, where = _tokenizer(tokenizer, settings)
    splits, found, seen = (
        [],
        list(check_settings(STAGES[stage], settings)),
        dict[bytes, tuple[str, bool | None]](),
    )
    embeddings = count_embeddings(where, STAGES[stage], settings)
    for name, rows in data.items():
        split, defects = _split(name, rows, tokenizer, STAGES[stage], settings, seen, embeddings)
        splits.append(split)
        found += [d for d in defects if d not in found]  # defects of the tokenizer are reported once
    first = next((s for s in splits if s.name == "train"), splits[0] if splits else SplitCounts("train", 0))
    an_epoch, steps = _steps(first.sequences, settings)
    size, no_size = _size(where, stage, settings, first, found)
    tokens = round(first.tokens * steps / an_epoch) if an_epoch else 0
    ordered = tuple(sorted(found, key=lambda d: not d.refused))
    seconds = time.monotonic() - began
    return PreflightReport(stage, tuple(splits), ordered, an_epoch, steps, tokens, size, no_size, seconds)


def _tokenizer(tokenizer: Any, settings: PreflightSettings) -> tuple[Tokenizer, str | None]:
    """A copy of the tokenizer with the config's template, and the model that has the config.json."""
    from copy import deepcopy

    where = settings.model_name_or_path
    if isinstance(tokenizer, str | Path):
        where = where or str(tokenizer)
        tokenizer = _read_tokenizer(str(tokenizer), settings, settings.model_revision)
    else:
        tokenizer = deepcopy(tokenizer)
    path = settings.chat_template_path
    if path and path.endswith((".jinja", ".j2")) and Path(path).is_file():
        tokenizer.chat_template = Path(path).read_text(encoding="utf-8")
    elif path:  # as trl.clone_chat_template does
        other = _read_tokenizer(path, replace(settings, trust_remote_code=False))  # TRL trusts none here
        tokenizer.chat_template = other.get_chat_template()
        have = tokenizer.get_vocab()
        tokenizer.add_tokens([t for t in other.added_tokens_decoder.values() if t.content not in have])
        tokenizer.eos_token = other.eos_token
    return tokenizer, where


def _read_tokenizer(where: str, settings: PreflightSettings, revision: str | None = None) -> Tokenizer:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(
            where, revision=revision or "main", trust_remote_code=settings.trust_remote_code
        )
    except Exception as error:  # damaged files make transformers raise of every kind
        if of_code := explain_code(where, error):
            raise RecipeError(of_code) from error
        said = " ".join(str(error).split())[:200]
        at = f" at {revision}" if revision else ""
        raise RecipeError(
            f"{where}{at}: no tokenizer can be read there; name a model's folder or one on the "
            f"Hub (--set model_name_or_path=…): {said}"
        ) from error


def _split(
    name: str,
    rows: Any,
    tokenizer: Tokenizer,
    stage: Stage,
    settings: PreflightSettings,
    seen: dict[bytes, Any],
    embeddings: int | None,
) -> tuple[SplitCounts, list[Defect]]:
    rows = pa.Table.from_pylist(rows) if isinstance(rows, list) else rows
    rows = rows.with_format("arrow") if hasattr(rows, "with_format") else rows
    n = len(rows)
    if n == 0:
        return SplitCounts(name, 0), [
            refuse("no_rows", "no rows: leave the split out, or build it anew", name)
        ]
    form, found = find_form(stage, _cut(rows, 0, 1).schema, name, settings)
    if form is None:
        return SplitCounts(name, n), found
    found += check_tokenizer(tokenizer, form, stage, settings)
    found += check_vocabulary(tokenizer, embeddings)
    assistant = "assistant_only_loss" in stage.honours and settings.assistant_only_loss
    template = None
    if assistant and tokenizer.chat_template and form.conversational:
        template, lacking = find_training_template(tokenizer)
        found += [lacking] if lacking else []
    if any(d.refused for d in found if not d.split):
        return SplitCounts(name, n), found
    rules = _rules(stage, name, form, settings, assistant, embeddings)
    tally = Tally(name, seen)
    for start in range(0, n, _TOGETHER):
        count_rows(
            tally,
            _cut(rows, start, min(start + _TOGETHER, n)),
            start,
            form,
            rules,
            tokenizer,
            template,
        )
    split = summarise(tally, rules)
    return split, found + list(_defects(split, tally, settings, rules))


def _cut(rows: Any, start: int, end: int) -> pa.Table:
    return rows.slice(start, end - start) if isinstance(rows, pa.Table) else rows[start:end]


def _rules(
    stage: Stage,
    name: str,
    form: RowForm,
    settings: PreflightSettings,
    assistant: bool,
    embeddings: int | None,
) -> RowRules:
    packing = settings.packing
    if name != "train" and settings.eval_packing is not None:
        packing = settings.eval_packing
    only = settings.completion_only_loss
    packing = packing and "packing" in stage.honours
    return RowRules(
        stage,
        settings.max_length,
        settings.truncation_mode == "keep_end" and "truncation_mode" in stage.honours and not packing,
        form.prompt is not None and (only is not False or "completion_only_loss" not in stage.honours),
        assistant,
        packing,
        settings.packing_strategy,
        embeddings,
    )


def _defects(
    split: SplitCounts, tally: Tally, settings: PreflightSettings, rules: RowRules
) -> Iterator[Defect]:
    """Word the defects that were counted."""
    cut = tally.found.pop("cut_dead", [0])[0]
    if not tally.kept and not any(kind in tally.found for kind in ("null_cells", "template_fails")):
        yield refuse("nothing_kept", f"TRL keeps none of {split.rows:,} rows: raise max_length", split.name)
    if rules.stage.label and len(tally.labels) == 1:
        tally.found["one_label"] = [split.rows, [], ""]
    for kind in (kind for kind in WORDS if kind in tally.found):
        count, rows, said = tally.found[kind]
        yield describe_defect(kind, split, count, tuple(rows), settings, cut, said)


def _steps(sequences: int, settings: PreflightSettings) -> tuple[int, int]:
    """Steps of the optimizer per epoch and in all, as transformers' Trainer counts them."""
    if not sequences:
        return 0, 0
    together = settings.per_device_train_batch_size * settings.num_processes
    batches = sequences // together if settings.dataloader_drop_last else -(-sequences // together)
    an_epoch = max(1, -(-batches // settings.gradient_accumulation_steps))
    if settings.max_steps > 0:
        return an_epoch, settings.max_steps
    return an_epoch, int(np.ceil(settings.num_train_epochs * an_epoch))


def _size(
    where: str | None, stage: str, settings: PreflightSettings, split: SplitCounts, found: list[Defect]
) -> tuple[MemoryEstimate | None, str | None]:
    if where is None:
        return None, "no model named"
    from .memory import estimate_size

    longest = settings.max_length if settings.packing and settings.max_length else split.longest
    try:
        size = estimate_size(where, stage, settings, longest)
        return (size, None) if split.kept else (None, f"no row of {split.name} is kept")
    except RecipeError as error:
        kind, _, text = str(error).partition(": ")
        found.append(refuse(kind, text))
        return None, "LoRA has nothing to be put on"
    except Exception as error:
        if of_code := explain_code(where, error):
            raise RecipeError(of_code) from error
        return None, f"{where}: {' '.join(str(error).split())[:160]}"
