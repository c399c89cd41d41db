"""Send many requests to a model, several at a time, within limits; keep each reply when it arrives.

    asked = ask_missing(find_backend("openai:m", url), requests, ReplyFile(path, "openai:m"), read_json)
    asked.spent, asked.known          # what this run used; every reply kept so far

`ask_missing` sends only what has no usable reply in the memory; `ask` sends all that it is given.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from ...schemas.errors import AnnotationError
from .backends.backend import Backend, ModelAnswer, Say, Send
from .backends.endings import LENGTH, REASONING, describe_ending, find_ending, split_reasoning
from .budget import NO_LIMITS, Ledger, Limits
from .memory import KnownReplies, ReplyMemory, was_message
from .prices import bound_cost, count_most_tokens, describe_cost, require_price
from .requests import UNFINISHED, Reply, Request, hash_request

Check = Callable[[str], dict[str, Any]]
"""Reads an answer from a reply's text; raises ValueError if the text is unusable, see `ask`."""
REFUSALS = 5  # refused requests, with none answered, after which a run gives up


class FinalError(ValueError):
    """Raised by `check`: the answer is unusable, and asking again would not help."""


@dataclass(frozen=True)
class Spent:
    """Requests, tokens and cost of a run."""

    requests: int
    """Attempts, refused ones too."""
    replies: int
    failed: int
    """Requests without a usable reply after all tries."""
    prompt_tokens: int
    completion_tokens: int
    cost: float | None
    """USD; None if the model has no price."""
    left_out: int
    """Requests not done yet; after the run, those that a limit kept from being sent."""
    errors: Mapping[str, int] = field(default_factory=dict)
    """Number of failed requests by the error of their last reply."""
    unsure: float = 0.0
    """USD that may have been billed besides, for requests that were sent and not answered."""


Watch = Callable[[Spent, int], None]
"""Called with the cost so far and the number of all requests; `left_out` of them are not done yet."""


@dataclass(frozen=True)
class AskOptions:
    """Options of sending requests."""

    limits: Limits = NO_LIMITS
    """Concurrent requests; maximum attempts and USD of this run."""
    tries: int = 3
    """Maximum replies to a request before it counts as failed, over all runs."""
    retry_failed: bool = False
    """Retry requests that failed in earlier runs, as many times."""
    correct: bool = True
    """Show the model the error of its last reply, also of an earlier run. If false, failed requests are
    only retried with `retry_failed`."""
    allow_cut: bool = False
    """Accept replies that were cut off at max_tokens. If false, they are kept, but are no answers."""
    say: Say = lambda _: None
    """Called with notices, such as pauses."""
    watch: Watch = lambda *_: None


AS_USUAL = AskOptions()


@dataclass(frozen=True)
class MissingRequests:
    """Requests to be sent, which have no usable reply, and the kept replies to all others."""

    requests: list[Request]
    known: KnownReplies


@dataclass(frozen=True)
class AskedRequests:
    """Results of requests: the number sent (`missing`), and every reply kept now."""

    missing: int
    spent: Spent | None
    """None if nothing had to be sent."""
    known: KnownReplies


@dataclass(frozen=True)
class CostEstimate:
    """Upper bounds of tokens and cost in USD (None if the model has no price)."""

    requests: int
    prompt_tokens: int
    completion_tokens: int
    cost: float | None


@dataclass(frozen=True)
class EarlierReply:
    """The last reply to a request that an earlier run kept, and what was wrong with it."""

    nth: int
    raw: str
    error: str
    tell: bool = True  # true if it was a message, whose error the model can be shown


@dataclass
class _Run:
    """State of one call of `ask`."""

    check: Check
    keep: Callable[[list[Reply]], None]
    ledger: Ledger
    tries: int
    say: Say
    watch: Watch
    wanted: int
    pending: list[Reply] = field(default_factory=list)
    refused: list[Reply] = field(default_factory=list)  # while no request has been accepted
    answered: bool = False
    replies: int = 0
    failed: int = 0
    done: int = 0
    allow_cut: bool = False
    errors: Counter[str] = field(default_factory=Counter)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    error: Exception | None = None


def ask_missing(
    backend: Backend,
    requests: Sequence[Request],
    memory: ReplyMemory,
    check: Check,
    options: AskOptions = AS_USUAL,
) -> AskedRequests:
    """Send the requests that have no usable reply in the memory, and keep every reply there at once.

    `check`: see `ask`. Raises AnnotationError if there is a cost cap and the model has no price, or if the
    back-end refuses or does not answer; replies that came before are kept.
    """
    missing = find_missing(requests, memory, options)
    if not missing.requests:
        return AskedRequests(0, None, missing.known)
    failed = missing.known.failed
    before = max((row["nth"] for row in failed.values()), default=0) if options.retry_failed else 0
    spent = ask(
        backend,
        missing.requests,
        check=check,
        keep=memory.keep,
        limits=options.limits,
        tries=before + options.tries,
        say=options.say,
        watch=options.watch,
        allow_cut=options.allow_cut,
        earlier={
            name: EarlierReply(
                row["nth"], row["raw"], row["error"] or "", options.correct and was_message(row)
            )
            for name, row in failed.items()
        },
    )
    return AskedRequests(len(missing.requests), spent, memory.find(list(map(hash_request, requests))))


def find_missing(
    requests: Sequence[Request], memory: ReplyMemory, options: AskOptions = AS_USUAL
) -> MissingRequests:
    """Find the requests that `ask_missing` would send, each once, in their order.

    They have no usable reply, and were never sent, or have tries left after a stopped run, or failed and are
    to be retried.
    """
    once: dict[str, Request] = {}
    for request in requests:
        once.setdefault(hash_request(request), request)
    known = memory.find(list(once))

    def wanted(name: str) -> bool:
        if name in known.answered:
            return False
        if options.retry_failed or (last := known.failed.get(name)) is None:
            return True
        return options.correct and last["nth"] < options.tries and was_message(last)

    return MissingRequests([request for name, request in once.items() if wanted(name)], known)


def ask(
    backend: Backend,
    requests: Sequence[Request],
    *,
    check: Check,
    keep: Callable[[list[Reply]], None],
    limits: Limits = NO_LIMITS,
    tries: int = 3,
    say: Say = lambda _: None,
    watch: Watch = lambda *_: None,
    allow_cut: bool = False,
    earlier: Mapping[str, EarlierReply] | None = None,
) -> Spent:
    """Send the requests, each once, and keep every reply; those with an equal digest are one.

    `check` converts a reply's text to an answer. If it raises ValueError, the model is shown the error and
    asked again, up to `tries` replies to a request; after FinalError it is not. A reply that did not end by
    itself (cut off unless `allow_cut`, filtered, within its reasoning) is no answer and is not checked; one
    that was cut off is not asked for again. Reasoning is kept in `said` and never checked. `keep` gets a few
    replies at a time, in the order they arrive, and must have stored them when it returns. `say` is called
    with notices of pauses, `watch` with progress. `earlier` are the last replies of earlier runs by digest,
    whose tries count.

    Raises AnnotationError if there is a cost cap and the model has no price, or if the back-end refuses or
    does not answer; replies that came before are kept.
    """
    check_limits(backend, limits)
    once = list({hash_request(request): request for request in reversed(requests)}.values())[::-1]
    ledger = Ledger(limits, backend.price)
    run = _Run(check, keep, ledger, tries, say, watch, len(once), allow_cut=allow_cut)
    asyncio.run(_ask(backend, once, run, earlier or {}))
    if ledger.excess and run.error is None:
        run.error = AnnotationError(f"{backend.name}: the server {ledger.excess}")
    if isinstance(run.error, AnnotationError) and ledger.committed:
        raise AnnotationError(f"{run.error} ({describe_cost(ledger.spent, ledger.unsure)})") from run.error
    if run.error:
        raise run.error
    return _spent(run)


def check_limits(backend: Backend, limits: Limits) -> None:
    """Raise AnnotationError if there is a cost cap and the model has no price, or none that is known."""
    if limits.max_cost is not None:
        require_price(backend.name, backend.price)


def estimate_cost(backend: Backend, requests: Sequence[Request]) -> CostEstimate:
    """Estimate the maximum cost of these requests, each answered at its first try; send nothing."""
    once = {hash_request(request): request for request in requests}.values()
    price = backend.price
    return CostEstimate(
        len(once),
        sum(map(count_most_tokens, once)),
        sum(request.sampling.max_tokens for request in once),
        sum(bound_cost(request, price) for request in once) if price else None,
    )


async def _ask(
    backend: Backend, requests: list[Request], run: _Run, earlier: Mapping[str, EarlierReply]
) -> None:
    waiting = iter([requests[n : n + backend.together] for n in range(0, len(requests), backend.together)])
    workers = run.ledger.limits.concurrency if backend.parallel else 1
    async with backend.session() as send:
        await asyncio.gather(*(_work(send, waiting, run, earlier) for _ in range(workers)))
    if run.refused and not run.answered and run.error is None:
        run.error = _refusal(run)
    _flush(run)


async def _work(
    send: Send, waiting: Iterator[list[Request]], run: _Run, earlier: Mapping[str, EarlierReply]
) -> None:
    """Process waiting requests until none is left, a limit is reached, or an error occurs."""
    for group in waiting:
        if run.ledger.stopped:
            return
        try:
            await _settle(send, [(r, earlier.get(hash_request(r))) for r in group], run)
        except Exception as error:  # whatever it is, replies under way are kept first
            run.error = run.error or error
            run.ledger.stop()
            return


async def _settle(send: Send, group: list[tuple[Request, EarlierReply | None]], run: _Run) -> None:
    """Ask a group of requests until each has a usable answer or no try left."""
    while group:
        answers = await send([_told(request, last) for request, last in group], run.ledger, run.say)
        again: list[tuple[Request, EarlierReply | None]] = []
        for (request, last), answer in zip(group, answers, strict=True):
            if answer is not None:
                reply, more = _reply(request, answer, (last.nth if last else 0) + 1, run)
                _take(reply, answer, more, run)
                if more:
                    tell = answer.fault is None and UNFINISHED not in reply.said
                    again.append((request, EarlierReply(reply.nth, reply.raw, reply.error or "", tell)))
        await asyncio.sleep(0)  # other workers may have replies to keep by now
        _flush(run)
        group = again


def _told(request: Request, last: EarlierReply | None) -> Request:
    """The request; after an unusable reply, with that reply and its error."""
    if last is None or not last.tell:
        return request
    again = f"That could not be used: {last.error}. Reply once more, as asked."
    more = ({"role": "assistant", "content": last.raw}, {"role": "user", "content": again})
    return replace(request, messages=(*request.messages, *more))


def _reply(request: Request, answer: ModelAnswer, nth: int, run: _Run) -> tuple[Reply, bool]:
    """The reply as it is kept, and true if the model is asked again."""
    taken, error, final = None, answer.fault, answer.refused
    text, said = answer.text, dict(answer.said)
    if error is None:
        text, reasoning, open_end = split_reasoning(text)
        if reasoning:
            said[REASONING] = "\n".join(filter(None, (said.get(REASONING), reasoning)))
        ending = find_ending(said.get("finish")) or (REASONING if open_end else None)
        if ending and not (ending == LENGTH and run.allow_cut):
            said[UNFINISHED] = ending
            error, final = describe_ending(ending, request.sampling.max_tokens), ending == LENGTH
    if error is None:
        try:
            taken = run.check(text)
        except ValueError as wrong:
            error = " ".join(str(wrong).split())[:500] or "of no use"
            final = isinstance(wrong, FinalError)
    reply = Reply(
        request,
        nth,
        text,
        taken,
        error,
        answer.prompt_tokens,
        answer.completion_tokens,
        answer.cost,
        datetime.now(UTC),
        said,
    )
    return reply, error is not None and not final and nth < run.tries


def _take(reply: Reply, answer: ModelAnswer, more: bool, run: _Run) -> None:
    run.replies += 1
    run.done += not more
    if not more and reply.error is not None:
        run.failed += 1
        run.errors[reply.error] += 1
    run.prompt_tokens += reply.prompt_tokens or 0
    run.completion_tokens += reply.completion_tokens or 0
    if not answer.refused:
        run.answered = True
    if answer.refused and not run.answered:
        run.refused.append(reply)
        if len(run.refused) >= REFUSALS:
            raise _refusal(run)
        return
    run.pending += [*run.refused, reply]
    run.refused = []


def _refusal(run: _Run) -> AnnotationError:
    """Error if no request was accepted: the settings are probably wrong, not every request."""
    return AnnotationError(
        f"{run.refused[0].error} (the first of {len(run.refused)} refused; none was answered)"
    )


def _flush(run: _Run) -> None:
    if run.pending:
        batch, run.pending = run.pending, []
        run.keep(batch)
    run.watch(_spent(run), run.wanted)


def _spent(run: _Run) -> Spent:
    cost = run.ledger.spent if run.ledger.price else None
    return Spent(
        run.ledger.requests,
        run.replies,
        run.failed,
        run.prompt_tokens,
        run.completion_tokens,
        cost,
        run.wanted - run.done,
        dict(run.errors.most_common()),
        run.ledger.unsure,
    )
