"""A judge that does not write: which of two completions a causal model holds likelier after the prompt.

    scored(model, tokenizer, [((user("How do I add?"),), "Find a common denominator.")])
    # [Score(log_probability=-21.4, tokens=6, characters=26)], nats

A completion's log-probability is the sum over its tokens and the one that ends a turn. Longer completions
are less likely whatever they say, so it is divided by characters or tokens where asked. There is no order of
showing, so one request judges a pair.

SmolLM2-135M-Instruct, 200 sentences of JFLEG (dev, first reference; seed 0), source against correction, 95 %
intervals: by characters 86.0 % right (80.5-90.1), by tokens 84.0 % (78.3-88.4), undivided 83.0 % (77.2-87.6).
That is after a prompt that says nothing of the sentence. What is likelier is what the model would rather
write next: after a prompt that holds the source (correct this: …) the copy of it, and 9.5 % are right.
"""

import json
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any

from ....schemas.errors import AnnotationError
from ....schemas.keys import hash_key
from ....schemas.rubric import Rubric
from ..budget import Ledger
from ..judge.answers import FIRST, SECOND, TIE, Way
from ..prices import FREE
from ..requests import Message, Request, Sampling
from .backend import Answer, Backend, Say, Send
from .hf import find_model, load_model

KIND = "hf-likelihood"
NORMALISE = ("characters", "tokens", "none")
TOGETHER = 8  # pairs between two writes
DIGITS = 4  # of a log-probability in an answer: padding moves the sixth
_ROOM = 256 << 20  # bytes of one batch's scores over the vocabulary
_CONTENTS = ("content_a", "content_b")
_WORD = 4  # bytes of a score


@dataclass(frozen=True)
class Score:
    """How likely a completion is: nats over its tokens, the end of the turn included."""

    log_probability: float
    tokens: int
    characters: int

    def by(self, normalise: str) -> float:
        """Nats in all, by token or by character."""
        over = {"tokens": self.tokens, "characters": self.characters, "none": 1}[normalise]
        return self.log_probability / max(1, over)


def pair_request(
    prompt: Sequence[Message], first: str, second: str, normalise: str, margin: float, about: Any = None
) -> Request:
    """The request that asks for both completions' log-probabilities."""
    both = ({"role": FIRST, "content": first}, {"role": SECOND, "content": second})
    schema = {
        "type": "object",
        "description": f"log-probability, nats; normalised by: {normalise}; a tie within {margin:g}",
        "properties": {
            "preference": {"type": "string", "enum": [FIRST, SECOND, TIE]},
            FIRST: {"type": "number"},
            SECOND: {"type": "number"},
        },
        "required": ["preference", FIRST, SECOND],
    }
    plain = tuple({"role": message["role"], "content": message["content"]} for message in prompt)
    return Request((*plain, *both), Sampling(max_tokens=0), schema=schema, about=about)


def checker(normalise: str, margin: float) -> Callable[[str], dict[str, Any]]:
    """A function from a reply's text (both scores, as JSON) to the answer; those within `margin` are a tie.

    {"preference": "first", "first": -1.2, "second": -1.5}
    """

    def check(content: str) -> dict[str, Any]:
        given = json.loads(content)
        one, two = (round(Score(**given[side]).by(normalise), DIGITS) for side in (FIRST, SECOND))
        preference = TIE if abs(one - two) <= margin else FIRST if one > two else SECOND
        return {"preference": preference, FIRST: one, SECOND: two}

    return check


def by_likelihood(rubric: Rubric, normalise: str, margin: float) -> Way:
    """Judging pairs by log-probability; AnnotationError for a rubric that rates."""
    if rubric.kind != "pairwise":
        raise AnnotationError(
            f"{KIND}: a log-probability tells which of two completions is likelier and is no rating; "
            f"'{rubric.name}' rates: give a pairwise rubric (preceptor rubric list), or another --model"
        )

    def make(prompt: Sequence[Message], texts: Sequence[str], about: Any) -> Request:
        return pair_request(prompt, texts[0], texts[1], normalise, margin, about)

    template = hash_key([KIND, normalise, margin, rubric.digest])
    return Way(make, checker(normalise, margin), both=False, template=template)


def scored(
    model: Any, tokenizer: Any, texts: Sequence[tuple[Sequence[Message], str]], room: int = _ROOM
) -> list[Score]:
    """The score of each (prompt's messages, completion); ValueError where one is too long for the model."""
    rows = [_ids(tokenizer, messages, completion) for messages, completion in texts]
    longest = getattr(model.config, "max_position_embeddings", None)
    for prompt, completion in rows:
        if longest and len(prompt) + len(completion) > longest:
            raise ValueError(f"{len(prompt) + len(completion)} tokens, the model takes {longest}")
    vocabulary = model.get_output_embeddings().weight.shape[0]
    found: dict[int, float] = {}
    for batch in _batches([len(p) + len(c) for p, c in rows], room // (_WORD * vocabulary)):
        found.update(zip(batch, _log_probabilities(model, [rows[n] for n in batch]), strict=True))
    return [Score(found[n], len(rows[n][1]), len(text)) for n, (_, text) in enumerate(texts)]


def _ids(tokenizer: Any, messages: Sequence[Message], completion: str) -> tuple[list[int], list[int]]:
    """Tokens of the prompt, at least one, and of the completion."""
    plain = [{"role": message["role"], "content": message["content"]} for message in messages]
    end = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    if tokenizer.chat_template:
        text = tokenizer.apply_chat_template(plain, tokenize=False, add_generation_prompt=True)
        prompt = tokenizer(text, add_special_tokens=False)["input_ids"]
    else:
        text = "".join(f"{message['content']}\n\n" for message in plain)
        prompt = tokenizer(text)["input_ids"]
    start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    return prompt or [start], tokenizer(completion, add_special_tokens=False)["input_ids"] + end


def _batches(lengths: Sequence[int], tokens: int) -> Iterator[list[int]]:
    """Numbers of rows of about the same length, whose padded rows hold at most so many tokens together."""
    batch: list[int] = []
    for n in sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True):
        if batch and lengths[batch[0]] * (len(batch) + 1) > tokens:
            yield batch
            batch = []
        batch.append(n)
    if batch:
        yield batch


def _log_probabilities(model: Any, rows: Sequence[tuple[list[int], list[int]]]) -> list[float]:
    """Of each row's completion after its prompt; padded on the right, where nothing before it sees it."""
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


def copied(questions: Iterable[Mapping[str, Any]]) -> int:
    """Questions (messages, content_a, content_b) whose prompt holds one of the texts as it stands."""
    return sum(
        any(row[side].strip() in said["content"] for said in row["messages"] for side in _CONTENTS)
        for row in questions
    )


def likelihood_backend(name: str) -> Backend:
    """A back-end that scores pairs (`pair_request`) under a causal model in this process."""
    place = find_model(name)

    @asynccontextmanager
    async def session() -> AsyncIterator[Send]:
        model, tokenizer = load_model(place, exact=True)

        async def send(requests: Sequence[Request], ledger: Ledger, _: Say) -> list[Answer | None]:
            admitted = [await ledger.reserve(request) for request in requests]
            answers = _answers(
                model, tokenizer, [r for r, yes in zip(requests, admitted, strict=True) if yes]
            )
            for request, yes in zip(requests, admitted, strict=True):
                if yes:
                    ledger.settle(request, 0, 0)
            return [next(answers) if yes else None for yes in admitted]

        yield send

    return Backend(f"{KIND}:{place.name}", session, FREE, TOGETHER, parallel=False)


def _answers(model: Any, tokenizer: Any, requests: Sequence[Request]) -> Iterator[Answer]:
    """Both scores of each, as JSON; a request that is too long for the model is refused."""
    texts = [(r.messages[:-2], m["content"]) for r in requests for m in r.messages[-2:]]
    try:
        scores = iter(scored(model, tokenizer, texts))
    except ValueError as error:
        if len(requests) == 1:
            yield Answer("", str(error), refused=True)
            return
        for request in requests:  # so that only what is too long is refused
            yield from _answers(model, tokenizer, [request])
        return
    for _ in requests:
        both = {FIRST: asdict(next(scores)), SECOND: asdict(next(scores))}
        yield Answer(json.dumps(both), cost=0.0)
