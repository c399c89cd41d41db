"""Ask a model many things: some at a time, within limits, each reply kept as soon as it is there.

    asked = ask_missing(find_backend("openai:m", url), requests, ReplyFile(path, "openai:m"), read_json)
    asked.spent, asked.known          # what this run took; every reply that is kept now

`ask_missing` sends only what has no usable reply in the memory; `ask` sends all that it is given.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from ...schemas.errors import AnnotationError
from .backends.backend import Backend, ModelAnswer, Say, Send
from .budget import NO_LIMITS, Ledger, Limits
from .memory import KnownReplies, ReplyMemory, was_message
from .prices import bound_cost, count_most_tokens
from .requests import Reply, Request, hash_request

Check = Callable[[str], dict[str, Any]]
"""Reads an answer out of a reply's text; raises ValueError where it is of no use, see `ask`."""
REFUSALS = 5  # requests refused before any is answered, until a run gives up


class FinalError(ValueError):
    """Raised by `check`: the answer is of no use, and asking again would not help."""


@dataclass(frozen=True)
class Spent:
    """What a run took."""

    requests: int
    """Attempts, refused ones too."""
    replies: int
    failed: int
    """Requests without a usable reply after all tries."""
    prompt_tokens: int
    completion_tokens: int
    cost: float | None
    """USD; None where the model has no price."""
    left_out: int
    """Requests that are not done; when the run has ended, those that a limit kept from being sent."""


Watch = Callable[[Spent, int], None]
"""Called with what was spent so far and the number of all requests; `left_out` of them are not done yet."""


@dataclass(frozen=True)
class AskOptions:
    """How requests are sent, for callers to pass on."""

    limits: Limits = NO_LIMITS
    """Requests at a time; most attempts and USD of this run."""
    tries: int = 3
    """Replies to a request until it has failed, counted over runs."""
    retry_failed: bool = False
    """Ask again, as many times, what failed in earlier runs."""
    correct: bool = True
    """Tell the model what was wrong with its last reply, also with one of an earlier run; else a request
    that has failed is not asked again without `retry_failed`."""
    say: Say = lambda _: None
    """Called with notices, such as pauses."""
    watch: Watch = lambda *_: None


AS_USUAL = AskOptions()


@dataclass(frozen=True)
class MissingRequests:
    """Requests without a usable reply that are to be sent, and what is kept of all that were looked for."""

    requests: list[Request]
    known: KnownReplies


@dataclass(frozen=True)
class AskedRequests:
    """What came of requests: `missing` of them had to be sent, and every reply that is kept now."""

    missing: int
    spent: Spent | None
    """None where nothing had to be sent."""
    known: KnownReplies


@dataclass(frozen=True)
class CostEstimate:
    """Upper bounds of what requests take: tokens and USD (None where the model has no price)."""

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
    tell: bool = True  # whether it was a message, about which the model can be told


@dataclass
class _Run:
    """One `ask`: what it was given, and what has come of it."""

    check: Check
    keep: Callable[[list[Reply]], None]
    ledger: Ledger
    tries: int
    say: Say
    watch: Watch
    wanted: int
    pending: list[Reply] = field(default_factory=list)
    refused: list[Reply] = field(default_factory=list)  # while it is not known whether any is taken
    answered: bool = False
    replies: int = 0
    failed: int = 0
    done: int = 0
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

    `check` is that of `ask`. Raises AnnotationError where a cost cap cannot be kept because the model has
    no price, and, after all that came was kept, where the back-end refuses or stays away.
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

    They have no usable reply, and either none at all, or a try left after a run that was stopped, or are to
    be tried again after they failed.
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
    earlier: Mapping[str, EarlierReply] | None = None,
) -> Spent:
    """Send the requests, each once, and keep every reply; those with an equal digest are one.

    `check` makes an answer of a reply's text. Where it raises ValueError, the model is told and asked
    again, up to `tries` replies to a request; after FinalError it is not. `keep` is given a few replies at
    a time, in the order they come: when it returns they should be safe. `say` is called with notices of
    pauses, `watch` with progress. `earlier` are the last replies of earlier runs, by digest: tries go on
    from there.

    Raises AnnotationError where a cost cap cannot be kept because the model has no price, and, after all
    that came was kept, where the back-end refuses or stays away.
    """
    check_limits(backend, limits)
    once = list({hash_request(request): request for request in reversed(requests)}.values())[::-1]
    ledger = Ledger(limits, backend.price)
    run = _Run(check, keep, ledger, tries, say, watch, len(once))
    asyncio.run(_ask(backend, once, run, earlier or {}))
    if run.error:
        raise run.error
    return _spent(run)


def check_limits(backend: Backend, limits: Limits) -> None:
    """Raise AnnotationError where a cost cap is asked for and the model has no price."""
    if limits.max_cost is not None and backend.price is None:
        raise AnnotationError(
            f"--max-cost: no price is known for {backend.name}; write one into a file and give it as "
            "--prices (models: [{model: NAME, in: USD per million tokens, out: the same}]), or "
            "use --max-requests"
        )


def estimate_cost(backend: Backend, requests: Sequence[Request]) -> CostEstimate:
    """Estimate what these requests come to at most, if each is answered at once; nothing is sent."""
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
    """Take what is waiting until there is nothing more, a limit is reached, or something went wrong."""
    for group in waiting:
        if run.ledger.stopped:
            return
        try:
            await _settle(send, [(r, earlier.get(hash_request(r))) for r in group], run)
        except Exception as error:  # whatever it is, what others have under way is kept first
            run.error = run.error or error
            run.ledger.stop()
            return


async def _settle(send: Send, group: list[tuple[Request, EarlierReply | None]], run: _Run) -> None:
    """Ask a group of requests until each has an answer of use or no try left."""
    while group:
        answers = await send([_told(request, last) for request, last in group], run.ledger, run.say)
        again: list[tuple[Request, EarlierReply | None]] = []
        for (request, last), answer in zip(group, answers, strict=True):
            if answer is not None:
                reply, more = _reply(request, answer, (last.nth if last else 0) + 1, run)
                _take(reply, answer, more, run)
                if more:
                    tell = answer.fault is None
                    again.append((request, EarlierReply(reply.nth, reply.raw, reply.error or "", tell)))
        await asyncio.sleep(0)  # others may have something to keep by now
        _flush(run)
        group = again


def _told(request: Request, last: EarlierReply | None) -> Request:
    """The request and, after a reply that could not be used, that reply and why."""
    if last is None or not last.tell:
        return request
    again = f"That could not be used: {last.error}. Reply once more, as asked."
    more = ({"role": "assistant", "content": last.raw}, {"role": "user", "content": again})
    return replace(request, messages=(*request.messages, *more))


def _reply(request: Request, answer: ModelAnswer, nth: int, run: _Run) -> tuple[Reply, bool]:
    """The reply as it is kept, and whether the model is asked again."""
    taken, error, final = None, answer.fault, answer.refused
    if error is None:
        try:
            taken = run.check(answer.text)
        except ValueError as wrong:
            error = " ".join(str(wrong).split())[:500] or "of no use"
            final = isinstance(wrong, FinalError)
    reply = Reply(
        request,
        nth,
        answer.text,
        taken,
        error,
        answer.prompt_tokens,
        answer.completion_tokens,
        answer.cost,
        datetime.now(UTC),
        answer.said,
    )
    return reply, error is not None and not final and nth < run.tries


def _take(reply: Reply, answer: ModelAnswer, more: bool, run: _Run) -> None:
    run.replies += 1
    run.done += not more
    run.failed += not more and reply.error is not None
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
    """Nothing was taken: what is wrong is more likely the settings than each of the requests."""
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
    )
