"""Score texts after their prompts by a causal model's log-probabilities.

    score_texts(model, tokenizer, [((user("How do I add?"),), "Find a common denominator.")])
    # [TextScore(log_probability=-21.4, tokens=6, characters=26)], nats

A text's log-probability is the sum over its tokens and the one that ends a turn.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ....schemas.support.chat_template import apply_chat_template

NORMALISE = ("characters", "tokens", "none")
_ROOM = 256 << 20  # bytes of one batch's scores over the vocabulary
_WORD = 4  # bytes of a score

Messages = Sequence[Mapping[str, str]]
Text = tuple[Messages, str]
"""A prompt's messages, and a possible completion."""


@dataclass(frozen=True)
class TextScore:
    """How likely a completion is: nats over its tokens, the end of the turn included."""

    log_probability: float
    tokens: int
    characters: int

    def normalise(self, by: str) -> float:
        """Divide the log-probability, in nats, by tokens, characters or none (see NORMALISE)."""
        over = {"tokens": self.tokens, "characters": self.characters, "none": 1}[by]
        return self.log_probability / max(1, over)


ScoreTexts = Callable[[Sequence[Text]], Sequence[TextScore | None]]
"""Scores texts under a model; None for one that is too long for it."""


def score_texts(model: Any, tokenizer: Any, texts: Sequence[Text], room: int = _ROOM) -> list[TextScore]:
    """Score each text under a causal model; `room` bounds the bytes of a batch's scores over the vocabulary.

    Raises ValueError if one is too long for the model.
    """
    rows = [_ids(tokenizer, messages, completion) for messages, completion in texts]
    longest = getattr(model.config, "max_position_embeddings", None)
    for prompt, completion in rows:
        if longest and len(prompt) + len(completion) > longest:
            raise ValueError(f"{len(prompt) + len(completion)} tokens, the model takes {longest}")
    vocabulary = model.get_output_embeddings().weight.shape[0]
    found: dict[int, float] = {}
    for batch in _batches([len(p) + len(c) for p, c in rows], room // (_WORD * vocabulary)):
        found.update(zip(batch, _log_probabilities(model, [rows[n] for n in batch]), strict=True))
    return [TextScore(found[n], len(rows[n][1]), len(text)) for n, (_, text) in enumerate(texts)]


def _ids(tokenizer: Any, messages: Messages, completion: str) -> tuple[list[int], list[int]]:
    """Tokens of the prompt, at least one, and of the completion."""
    plain = [{"role": message["role"], "content": message["content"]} for message in messages]
    end = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    if tokenizer.chat_template:
        text = apply_chat_template(tokenizer, plain, tokenize=False, add_generation_prompt=True)
        prompt = tokenizer(text, add_special_tokens=False)["input_ids"]
    else:
        text = "".join(f"{message['content']}\n\n" for message in plain)
        prompt = tokenizer(text)["input_ids"]
    start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    return prompt or [start], tokenizer(completion, add_special_tokens=False)["input_ids"] + end


def _batches(lengths: Sequence[int], tokens: int) -> Iterator[list[int]]:
    """Row numbers in batches of similar length, with at most so many tokens each after padding."""
    batch: list[int] = []
    for n in sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True):
        if batch and lengths[batch[0]] * (len(batch) + 1) > tokens:
            yield batch
            batch = []
        batch.append(n)
    if batch:
        yield batch


def _log_probabilities(model: Any, rows: Sequence[tuple[list[int], list[int]]]) -> list[float]:
    """Log-probabilities of completions after their prompts; right padding, which no token before it sees."""
    import torch

    longest = max(len(prompt) + len(completion) for prompt, completion in rows)
    ids = torch.zeros((len(rows), longest), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, (prompt, completion) in enumerate(rows):
        whole = prompt + completion
        ids[row, : len(whole)] = torch.tensor(whole)
        mask[row, : len(whole)] = 1
    ids, mask = ids.to(model.device), mask.to(model.device)
    with torch.inference_mode():
        logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
    sums = []
    for row, (prompt, completion) in enumerate(rows):
        begin, end = len(prompt), len(prompt) + len(completion)
        scores = logits[row, begin - 1 : end - 1].float().log_softmax(dim=-1)
        sums.append(float(scores.gather(1, ids[row, begin:end, None]).sum()))
    return sums


def score_fitting(model: Any, tokenizer: Any, texts: Sequence[Text]) -> list[TextScore | None]:
    """Score each text under a causal model; None if it is too long for the model."""
    try:
        return list(score_texts(model, tokenizer, texts))
    except ValueError:
        if len(texts) == 1:
            return [None]
    return [found for text in texts for found in score_fitting(model, tokenizer, [text])]
