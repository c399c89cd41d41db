"""Encode texts as a causal model reads them: its middle layer, the mean over the completion's tokens.

    name, encode = open_encoder("hf:models/smollm2")
    encode([((user("How do I add?"),), "Find a common denominator.")])     # [[0.12, -3.4, …]], 576 numbers

Layers above the middle one are not computed. A prompt is read once for all its completions.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import groupby
from typing import Any

from ....schemas.errors import AnnotationError
from .hf import ModelLocation, find_model, list_ids, load_model
from .text_scores import Text

KIND = "hf:"
LONGEST_PROMPT, LONGEST_TEXT = 256, 160  # tokens; of a prompt the last, of a completion the first
TOGETHER = (
    4  # completions of one prompt that are read at once: of like length, since padding costs more than calls
)

Encode = Callable[[Sequence[Text]], list[list[float]]]


def open_encoder(name: str, trusting_code: bool = False) -> tuple[str, Encode]:
    """Find a model; return its name with a digest, and a function that encodes texts.

    `name` is a folder or NAME[@REVISION] on the Hub, `hf:` before it or not. Weights are loaded when the
    first text is encoded. Raises AnnotationError if there is no such model.
    """
    place = find_model(name.removeprefix(KIND), trusting_code)
    return place.name, partial(encode_texts, place)


def encode_texts(place: ModelLocation, texts: Sequence[Text]) -> list[list[float]]:
    """Encode texts (messages, completion) in order; those of one prompt should be neighbours.

    One vector a text, as long as the model is wide: the mean of the middle layer over the completion's
    tokens, cut to LONGEST_TEXT, after the prompt. Raises AnnotationError if the model has no layers to stop
    at.
    """
    model, tokenizer = load_model(place, exact=True)
    layer = _find_middle(model, place)
    found: list[list[float]] = []
    for _, group in groupby(texts, key=lambda text: text[0]):
        rows = list(group)
        prompt = list_ids(tokenizer, [dict(message) for message in rows[0][0]])[-LONGEST_PROMPT:]
        ids = [tokenizer(text, add_special_tokens=False)["input_ids"][:LONGEST_TEXT] for _, text in rows]
        ends = [tokenizer.pad_token_id]  # stands for a text without tokens
        found += _encode_after(model, layer, prompt, [row or ends for row in ids])
    return found


class _ReachedError(Exception):
    """The middle layer has been computed, and nothing above it is wanted."""


def _find_middle(model: Any, place: ModelLocation) -> Any:
    """Find the module whose output is the middle layer's: the last of the lower half."""
    from torch.nn import ModuleList

    depth = model.config.get_text_config().num_hidden_layers
    for module in model.modules():
        if isinstance(module, ModuleList) and len(module) == depth > 1:
            return module[depth // 2 - 1]
    raise AnnotationError(
        f"{KIND}{place.where}: has no list of {depth} layers to stop in the middle of; name another model, "
        "or --text cheap"
    )


def _encode_after(model: Any, layer: Any, prompt: list[int], texts: Sequence[list[int]]) -> list[list[float]]:
    """Encode the texts of one prompt, given as tokens: read the prompt, then batches of similar length."""
    import torch

    before = None
    if prompt:
        ids = torch.tensor([prompt], device=model.device)
        _, before = _read(model, layer, ids, torch.ones_like(ids), None)
    found: dict[int, list[float]] = {}
    for batch in _batch(texts):
        width = max(len(texts[n]) for n in batch)
        ids = torch.zeros((len(batch), width), dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, n in enumerate(batch):
            ids[row, : len(texts[n])] = torch.tensor(texts[n])
            mask[row, : len(texts[n])] = 1
        ids, mask = ids.to(model.device), mask.to(model.device)
        seen = torch.cat([mask.new_ones((len(batch), len(prompt))), mask], dim=1)
        memory = copy.deepcopy(before)
        if memory is not None:
            memory.batch_repeat_interleave(len(batch))
        states, _ = _read(model, layer, ids, seen, memory)
        weight = mask[:, :, None].to(states.dtype)
        means = (states * weight).sum(dim=1) / weight.sum(dim=1)
        found.update(zip(batch, means.float().cpu().tolist(), strict=True))
    return [found[n] for n in range(len(texts))]


def _batch(texts: Sequence[list[int]]) -> Iterator[list[int]]:
    """Row numbers in batches of similar length."""
    order = sorted(range(len(texts)), key=lambda n: len(texts[n]))
    for start in range(0, len(order), TOGETHER):
        yield order[start : start + TOGETHER]


def _read(model: Any, layer: Any, ids: Any, mask: Any, memory: Any) -> tuple[Any, Any]:
    """Run the model up to a layer: its output (rows, tokens, width), and the memory of keys and values."""
    import torch
    from transformers import DynamicCache

    memory = DynamicCache() if memory is None else memory
    kept: list[Any] = []

    def stop(_module: Any, _given: Any, output: Any) -> None:
        kept.append(output[0] if isinstance(output, tuple) else output)
        raise _ReachedError

    hook = layer.register_forward_hook(stop)
    try:
        with torch.inference_mode():
            model.base_model(input_ids=ids, attention_mask=mask, past_key_values=memory, use_cache=True)
    except _ReachedError:
        pass
    finally:
        hook.remove()
    return kept[0], memory
