"""`hf:FOLDER` or `hf:NAME[@REVISION]`: a causal model in this process, with transformers, in batches.

A folder of an adapter (adapter_config.json, as PEFT writes it) is loaded on its base model.

Each request has its own random numbers, seeded by its digest (messages, sampling, seed, draw): the token with
the largest log-probability plus Gumbel noise is a draw from the model's distribution. So an answer does not
depend on the other requests of its batch, and a resumed run draws the same as an unbroken one, except for
rounding: a padded batch is summed in another order.
"""

import contextlib
import gc
import hashlib
import sys
import warnings
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from ....schemas.errors import AnnotationError
from ....schemas.manifest import MANIFEST
from ....schemas.support.adapter_folders import (
    ADAPTER,
    explain_code,
    find_base,
    was_folder,
)
from ....schemas.support.chat_template import apply_chat_template
from ....schemas.support.json_text.values import parse_json
from ..budget import Ledger
from ..prices import FREE
from ..requests import Message, Request, Sampling, hash_request
from .backend import Backend, ModelAnswer, Say, Send
from .text_scores import Text, TextScore, score_fitting

TOGETHER = 16
_PIECES, _PIECE = 256, 64 << 10  # of a file of weights, enough to identify it
_READ_WHOLE = (".json", ".jinja", ".txt", ".model")
_COMMIT = 12  # hex digits of a revision in a name


@dataclass(frozen=True)
class ModelLocation:
    """Location of a model or an adapter: a folder or a name on the Hub, with revision and name."""

    where: str
    revision: str | None
    name: str
    base: "ModelLocation | None" = None  # of an adapter: its base model
    trusting_code: bool = False  # True if code in its folder may run

    @property
    def folder(self) -> Path | None:
        """The folder, if it is on this machine."""
        return None if self.revision else Path(self.where)


def open_backend(
    name: str, _base_url: str | None = None, _prices: Path | None = None, trusting_code: bool = False
) -> Backend:
    """Open a back-end of a model in this process; weights are loaded at the first request.

    Raises AnnotationError if there is no such model.
    """
    place = find_model(name, trusting_code)

    @asynccontextmanager
    async def session() -> AsyncIterator[Send]:
        model, tokenizer = load_model(place)

        async def send(requests: Sequence[Request], ledger: Ledger, _: Say) -> list[ModelAnswer | None]:
            admitted = [request for request in requests if await ledger.reserve(request)]
            answers = {hash_request(r): a for r, a in _answers(model, tokenizer, admitted)}
            for request in admitted:
                ledger.settle(request, 0, 0)
            return [answers.get(hash_request(request)) for request in requests]

        yield send

    return Backend(
        f"hf:{place.name}",
        session,
        FREE,
        TOGETHER,
        parallel=False,
        scores=partial(score_under, place),
        free=free_models,
        folder=place.folder,
    )


def score_under(place: ModelLocation, texts: Sequence[Text]) -> list[TextScore | None]:
    """Score texts under a model, on a CPU in single precision; None for texts that are too long."""
    return score_fitting(*load_model(place, exact=True), texts)


def find_model(name: str, trusting_code: bool = False) -> ModelLocation:
    """Find the model of a name; raises AnnotationError, with what to do, if there is none.

    With `trusting_code`, code in its folder may run when it is loaded.

    The result's name has the folder's name and a digest of its content (of large files, of samples; of an
    adapter, also of its base model), or the commit of a model on the Hub.
    """
    folder = Path(name)
    if (folder / ADAPTER).is_file():
        base = _base_of(folder, trusting_code)
        both = hashlib.sha256(f"{_folder_digest(folder)}\0{base.name}".encode()).hexdigest()[:_COMMIT]
        return ModelLocation(str(folder), None, f"{folder.resolve().name}@{both}", base, trusting_code)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            if (folder / MANIFEST).is_file():
                raise AnnotationError(f"{folder}: is a dataset; name the folder of a model")
            raise AnnotationError(
                f"{folder}: holds no config.json; name a folder that transformers or PEFT wrote"
            )
        own = f"{folder.resolve().name}@{_folder_digest(folder)}"
        return ModelLocation(str(folder), None, own, trusting_code=trusting_code)
    beside = folder.parent != Path() and folder.parent.is_dir()
    if folder.is_absolute() or name.startswith(".") or name.count("/") > 1 or beside:
        raise AnnotationError(f"{name}: no such folder; name one that holds config.json and weights")
    hub, _, revision = name.partition("@")
    commit = _commit(hub, revision or None)
    return ModelLocation(hub, commit, f"{hub}@{commit[:_COMMIT]}", trusting_code=trusting_code)


@cache
def load_model(place: ModelLocation, exact: bool = False) -> tuple[Any, Any]:
    """Load model and tokenizer, cached; on the GPU if there is one.

    With `exact`, and on a CPU without bf16 support (emulation is 7 times slower), in single precision, else
    in the type of the weights. Raises AnnotationError if they cannot be read.
    """
    try:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer
        from transformers.utils import logging
    except ImportError as error:
        raise AnnotationError(_extra(error)) from error
    logging.disable_progress_bar()  # reading the weights is the smaller part of the work
    whole = place.base or place
    words = place if not place.base or (Path(place.where) / "tokenizer_config.json").is_file() else place.base
    try:
        trust = place.trusting_code  # False is said: transformers would ask at the terminal otherwise
        tokenizer = AutoTokenizer.from_pretrained(
            words.where, revision=words.revision, padding_side="left", trust_remote_code=trust
        )
        half = torch.cuda.is_available() or (not exact and torch.cpu._is_avx512_bf16_supported())
        dtype = "auto" if half else torch.float32
        model = AutoModelForCausalLM.from_pretrained(
            whole.where, revision=whole.revision, dtype=dtype, trust_remote_code=trust
        )
        model = _put_on(model, place) if place.base else model
    except ImportError as error:
        raise AnnotationError(_extra(error)) from error
    except Exception as error:  # damaged files make transformers and safetensors raise of every kind
        said = " ".join(str(error).split())[:300]
        what = f"an adapter of {whole.where}" if place.base else "a causal model"
        if of_code := explain_code(f"hf:{place.where}", error):
            raise AnnotationError(of_code) from error
        raise AnnotationError(f"hf:{place.where}: cannot be read as {what}: {said}") from error
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.pad_token_id is None:
        raise AnnotationError(
            f"hf:{words.where}: its tokenizer names neither a pad nor an end-of-text token; get its "
            "tokenizer_config.json again"
        )
    return model.to("cuda" if torch.cuda.is_available() else "cpu").eval(), tokenizer


def free_models() -> None:
    """Free loaded model weights."""
    load_model.cache_clear()
    gc.collect()
    if (torch := sys.modules.get("torch")) and torch.cuda.is_available():
        torch.cuda.empty_cache()


def _base_of(folder: Path, trusting_code: bool) -> ModelLocation:
    """Base model of an adapter: a folder, relative to here or the adapter, or a model on the Hub."""
    try:
        said = parse_json((folder / ADAPTER).read_text(encoding="utf-8"))
        base, revision = said.get("base_model_name_or_path"), said.get("revision")
    except (ValueError, AttributeError) as error:
        raise AnnotationError(f"{folder / ADAPTER}: cannot be read: {error}") from error
    if not base:
        raise AnnotationError(
            f"{folder / ADAPTER}: names no base_model_name_or_path; write in it the model "
            "that the adapter was trained on"
        )
    there = find_base(folder, base)
    if there is None and was_folder(folder, base):
        raise AnnotationError(
            f"{folder}: an adapter of the model in the folder {Path(base).name}, which is neither at {base} "
            f"nor beside {folder}; bring it there, or name the merged model"
        )
    where = str(there or base)
    pinned = f"{where}@{revision}" if revision and not Path(where).is_dir() else where
    try:
        found = find_model(pinned, trusting_code)
    except AnnotationError as error:
        raise AnnotationError(
            f"{folder}: an adapter whose base_model_name_or_path is not there: {error}"
        ) from error
    if found.base:
        raise AnnotationError(f"{folder}: an adapter of the adapter {where}; merge that into its model first")
    return found


def _put_on(model: Any, place: ModelLocation) -> Any:
    from peft import PeftModel

    warnings.filterwarnings("ignore", ".*gradient_checkpointing. is deprecated", FutureWarning)  # PEFT asks
    return PeftModel.from_pretrained(model, place.where)


def _extra(error: ImportError) -> str:
    return (
        f"hf: needs torch and transformers, and peft for an adapter: pip install 'preceptor[train]' ({error})"
    )


def _commit(hub: str, revision: str | None) -> str:
    """Commit of a model on the Hub; the cache names its folder after it."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        with contextlib.suppress(LocalEntryNotFoundError):  # downloaded models need no network
            return Path(
                hf_hub_download(hub, "config.json", revision=revision, local_files_only=True)
            ).parent.name
        return Path(hf_hub_download(hub, "config.json", revision=revision)).parent.name
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError) as error:
        said = " ".join(str(error).split())[:200]
        raise AnnotationError(
            f"hf:{hub}: neither a folder here nor a model that can be got from the Hub: {said}"
        ) from error


def _folder_digest(folder: Path) -> str:
    state = hashlib.sha256()
    for path in sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith(".")):
        size = path.stat().st_size
        state.update(f"{path.name}\0{size}\0".encode())
        with path.open("rb") as stream:
            if path.suffix in _READ_WHOLE or size <= _PIECES * _PIECE:
                state.update(stream.read())
            else:
                for n in range(_PIECES):
                    stream.seek((size - _PIECE) * n // (_PIECES - 1))
                    state.update(stream.read(_PIECE))
    return state.hexdigest()[:_COMMIT]


def _answers(
    model: Any, tokenizer: Any, requests: Sequence[Request]
) -> Iterator[tuple[Request, ModelAnswer]]:
    """Answer requests in batches of equal sampling; refuse those longer than the model's context."""
    longest = getattr(model.config, "max_position_embeddings", None)
    by_sampling: dict[Sampling, list[tuple[Request, list[int]]]] = {}
    for request in requests:
        ids = list_ids(tokenizer, request.messages)
        if longest and len(ids) + 1 > longest:
            fault = f"{len(ids)} tokens, which is more than the {longest} that the model takes"
            yield request, ModelAnswer("", fault, refused=True)
        else:
            alike = replace(request.sampling, seed=None)
            by_sampling.setdefault(alike, []).append((request, ids))
    for sampling, group in by_sampling.items():
        yield from _generate(model, tokenizer, group, sampling)


def list_ids(tokenizer: Any, messages: Sequence[Message]) -> list[int]:
    """List the prompt's tokens: by the model's chat template, or as paragraphs if it has none."""
    if tokenizer.chat_template:
        text = apply_chat_template(tokenizer, list(messages), tokenize=False, add_generation_prompt=True)
        found: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    else:
        found = tokenizer("\n\n".join(message["content"] for message in messages))["input_ids"]
    start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    return found or [start]


def _generate(
    model: Any, tokenizer: Any, group: list[tuple[Request, list[int]]], sampling: Sampling
) -> Iterator[tuple[Request, ModelAnswer]]:
    import torch
    from transformers import GenerationConfig, LogitsProcessorList

    width = max(len(ids) for _, ids in group)
    longest = getattr(model.config, "max_position_embeddings", None) or width + sampling.max_tokens
    rows = torch.full((len(group), width), tokenizer.pad_token_id)
    mask = torch.zeros_like(rows)
    for n, (_, ids) in enumerate(group):
        rows[n, width - len(ids) :] = torch.tensor(ids)
        mask[n, width - len(ids) :] = 1
    ends = _ends(model, tokenizer)
    config = GenerationConfig(  # all set, so that none of the model's own defaults applies
        max_new_tokens=max(1, min(sampling.max_tokens, longest - width)),
        do_sample=False,
        num_beams=1,
        temperature=1.0,
        top_p=1.0,
        top_k=50,
        repetition_penalty=1.0,
        eos_token_id=ends or None,
        pad_token_id=tokenizer.pad_token_id,
        stop_strings=list(sampling.stop) or None,
    )
    drawn = [_Drawn([hash_request(r) for r, _ in group], sampling)] if sampling.temperature > 0 else []
    with torch.inference_mode():
        out = model.generate(
            input_ids=rows.to(model.device),
            attention_mask=mask.to(model.device),
            generation_config=config,
            logits_processor=LogitsProcessorList(drawn),
            tokenizer=tokenizer if sampling.stop else None,
        )
    for (request, ids), row in zip(group, out[:, width:].tolist(), strict=True):
        yield request, _answer(tokenizer, row, ends, sampling, len(ids))


def _ends(model: Any, tokenizer: Any) -> list[int]:
    """Tokens that end an answer."""
    ends = model.generation_config.eos_token_id
    listed = ends if isinstance(ends, list) else [ends]
    return sorted({end for end in [*listed, tokenizer.eos_token_id] if end is not None})


def _answer(
    tokenizer: Any, row: list[int], ends: list[int], sampling: Sampling, prompt_tokens: int
) -> ModelAnswer:
    at = next((n for n, token in enumerate(row) if token in ends), None)
    used = row if at is None else row[:at]
    text = tokenizer.decode(used, skip_special_tokens=True)
    stops = [text.index(stop) for stop in sampling.stop if stop in text]
    finish = "length" if at is None and not stops else "stop"
    text = text[: min(stops)] if stops else text
    count = len(row) if at is None else at + 1
    return ModelAnswer(text, None, False, prompt_tokens, count, 0.0, {"finish": finish})


class _Drawn:
    """Makes the largest score a draw: by temperature and top_p, with the noise of each row's own."""

    def __init__(self, seeds: Sequence[str], sampling: Sampling) -> None:
        import torch
        from transformers import TopPLogitsWarper

        self.noise = [torch.Generator().manual_seed(int(seed[:15], 16)) for seed in seeds]
        self.temperature = sampling.temperature
        self.cut = TopPLogitsWarper(sampling.top_p) if sampling.top_p < 1 else None

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        import torch

        warm = scores.float() / self.temperature
        if self.cut:
            warm = self.cut(input_ids, warm)
        each = [torch.empty(warm.shape[-1]).exponential_(generator=noise) for noise in self.noise]
        return warm - torch.stack(each).log().to(warm.device)
