"""Judge by log-probability: which of two completions a causal model finds likelier after the prompt.

    reply    {"first": {"log_probability": -21.4, "tokens": 6, "characters": 26}, "second": {…}}   nats
    answer   {"preference": "first", "first": -0.82, "second": -1.1}                     nats by character

Longer completions are less likely whatever they say, so a log-probability can be divided by characters or
tokens. There is no order of showing, so one request judges a pair.

SmolLM2-135M-Instruct, 200 sentences of JFLEG (dev, first reference; seed 0), source against correction, 95 %
intervals: by characters 86.0 % right (80.5-90.1), by tokens 84.0 % (78.3-88.4), undivided 83.0 % (77.2-87.6).
These prompts do not contain the sentence. After a prompt that contains the source (correct this: …), a copy
of the source is likelier, and only 9.5 % are right.
"""

import json
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from ....schemas.errors import AnnotationError
from ....schemas.keys import hash_key
from ....schemas.rubric import Rubric
from ..budget import Ledger
from ..judge.answers import FIRST, SECOND, TIE, JudgingMethod
from ..prices import FREE
from ..requests import Message, Request, Sampling
from .backend import Backend, ModelAnswer, Say, Send
from .hf import find_model, free_models, load_model, score_under
from .text_scores import NORMALISE, TextScore, score_texts

KIND = "hf-likelihood"
TOGETHER = 8  # pairs between two writes
DIGITS = 4  # of a log-probability in an answer: padding moves the sixth
_CONTENTS = ("content_a", "content_b")


def make_pair_request(
    prompt: Sequence[Message], first: str, second: str, normalise: str, margin: float, about: Any = None
) -> Request:
    """Make the request that asks for both completions' log-probabilities."""
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


def make_checker(normalise: str, margin: float) -> Callable[[str], dict[str, Any]]:
    """Make a function from a reply's text (both scores, as JSON) to the answer, a tie within `margin`.

    {"preference": "first", "first": -1.2, "second": -1.5}
    """

    def check(content: str) -> dict[str, Any]:
        given = json.loads(content)
        one, two = (round(TextScore(**given[side]).normalise(normalise), DIGITS) for side in (FIRST, SECOND))
        preference = TIE if abs(one - two) <= margin else FIRST if one > two else SECOND
        return {"preference": preference, FIRST: one, SECOND: two}

    return check


def judge_by_likelihood(rubric: Rubric, normalise: str = NORMALISE[0], margin: float = 0.0) -> JudgingMethod:
    """Judge pairs by log-probability; raises AnnotationError for a rubric that rates.

    `normalise` is one of NORMALISE; pairs that differ by at most `margin` nats, so divided, are ties.
    """
    if rubric.kind != "pairwise":
        raise AnnotationError(
            f"{KIND}: a log-probability tells which of two completions is likelier and is no rating; "
            f"'{rubric.name}' rates: give a pairwise rubric (preceptor rubric list), or another --model"
        )

    def make(prompt: Sequence[Message], texts: Sequence[str], about: Any) -> Request:
        return make_pair_request(prompt, texts[0], texts[1], normalise, margin, about)

    template = hash_key([KIND, normalise, margin, rubric.digest])
    return JudgingMethod(make, make_checker(normalise, margin), both=False, template=template)


def count_copied(questions: Iterable[Mapping[str, Any]]) -> int:
    """Count questions (messages, content_a, content_b) whose prompt contains one of the texts verbatim."""
    return sum(
        any(row[side].strip() in said["content"] for said in row["messages"] for side in _CONTENTS)
        for row in questions
    )


def open_backend(
    name: str, _base_url: str | None = None, _prices: Path | None = None, trusting_code: bool = False
) -> Backend:
    """Open a back-end that scores pairs (`make_pair_request`) under a causal model in this process."""
    place = find_model(name, trusting_code)

    @asynccontextmanager
    async def session() -> AsyncIterator[Send]:
        model, tokenizer = load_model(place, exact=True)

        async def send(requests: Sequence[Request], ledger: Ledger, _: Say) -> list[ModelAnswer | None]:
            admitted = [await ledger.reserve(request) for request in requests]
            answers = _answers(
                model, tokenizer, [r for r, yes in zip(requests, admitted, strict=True) if yes]
            )
            for request, yes in zip(requests, admitted, strict=True):
                if yes:
                    ledger.settle(request, 0, 0)
            return [next(answers) if yes else None for yes in admitted]

        yield send

    return Backend(
        f"{KIND}:{place.name}",
        session,
        FREE,
        TOGETHER,
        parallel=False,
        scores=partial(score_under, place),
        free=free_models,
        folder=place.folder,
    )


def _answers(model: Any, tokenizer: Any, requests: Sequence[Request]) -> Iterator[ModelAnswer]:
    """Both scores of each request, as JSON; requests too long for the model are refused."""
    texts = [(r.messages[:-2], m["content"]) for r in requests for m in r.messages[-2:]]
    try:
        scores = iter(score_texts(model, tokenizer, texts))
    except ValueError as error:
        if len(requests) == 1:
            yield ModelAnswer("", str(error), refused=True)
            return
        for request in requests:  # so that only what is too long is refused
            yield from _answers(model, tokenizer, [request])
        return
    for _ in requests:
        both = {FIRST: asdict(next(scores)), SECOND: asdict(next(scores))}
        yield ModelAnswer(json.dumps(both), cost=0.0)
