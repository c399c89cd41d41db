"""A cap on costs where the server bills more than was asked for, fails, or hides behind this machine."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_server import Said, serving

from preceptor.annotation.models.asking import ask
from preceptor.annotation.models.backends import endpoint as endpoint_module
from preceptor.annotation.models.backends.registry import find_backend
from preceptor.annotation.models.budget import Limits
from preceptor.annotation.models.prices import bound_cost
from preceptor.annotation.models.requests import Request, Sampling
from preceptor.schemas.errors import AnnotationError


def requests(n, max_tokens=10):
    return [
        Request(({"role": "user", "content": f"q{i}"},), Sampling(max_tokens=max_tokens)) for i in range(n)
    ]


@pytest.fixture(scope="module", autouse=True)
def no_pauses():
    async def rest(seconds):
        pass

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(endpoint_module, "rest", rest)
        yield


@pytest.fixture(scope="module")
def prices(tmp_path_factory):
    path = tmp_path_factory.mktemp("prices") / "prices.yaml"
    path.write_text("models: [{model: m, in: 1, out: 10}]\n")
    return path


def asked(server, prices, n, **limits):
    kept = []
    backend = find_backend("openai:m", server.url, prices)
    limits = Limits(**limits)
    return ask(backend, requests(n), check=lambda text: {"text": text}, keep=kept.extend, limits=limits), kept


@pytest.mark.parametrize("usage", [{"completion_tokens": 8_000_000}, {"prompt_tokens": 80_000_000}])
@pytest.mark.parametrize("concurrency", [1, 3])
def test_a_bill_above_its_reservation_stops_the_run(prices, usage, concurrency):
    kept = []
    with serving(lambda body: Said("x", **usage)) as server:
        backend, limits = find_backend("openai:m", server.url, prices), Limits(concurrency, None, 0.01)
        with pytest.raises(AnnotationError, match="--max-cost cannot hold there") as stopped:
            ask(backend, requests(20), check=lambda text: {"text": text}, keep=kept.extend, limits=limits)
        assert 1 <= len(server.asked) <= concurrency
    assert "80.00 USD" in str(stopped.value)
    assert len(kept) == len(server.asked)
    assert all(reply.cost > 79 for reply in kept)


def test_hidden_tokens_of_the_total_are_billed(prices):
    body = (
        '{"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}], "usage": '
        '{"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 1000015}}'
    )
    with serving(lambda _: Said(body=body)) as server:
        with pytest.raises(AnnotationError, match="1,000,005 received"):
            asked(server, prices, 5, concurrency=1, max_cost=0.01)
        assert len(server.asked) == 1


def test_counts_beyond_all_numbers_are_no_way_around(prices):
    body = (
        '{"choices": [{"message": {"content": "x"}}], "usage": {"prompt_tokens": 1, "completion_tokens": %s}}'
    )
    for count in ("Infinity", "1e300", "99999999999999999999"):
        with (
            serving(lambda _, count=count: Said(body=body % count)) as server,
            pytest.raises(AnnotationError, match="cannot hold there"),
        ):
            asked(server, prices, 5, concurrency=1, max_cost=0.01)


@settings(max_examples=25)
@given(
    statuses=st.lists(st.sampled_from([200, 429, 500, 502, 503, 408, 200, 200]), min_size=1, max_size=12),
    cap=st.floats(0.0001, 0.003),
)
def test_what_may_have_been_billed_counts_against_the_cap(prices, statuses, cap):
    """Whatever a server answers with, what it may bill for stays below the cap."""
    turn, most = (
        iter(range(1000)),
        bound_cost(requests(1)[0], find_backend("openai:m", "http://127.0.0.1:1/v1", prices).price),
    )
    sent = []

    def answer(body):
        status = statuses[next(turn) % len(statuses)]
        sent.append(status)
        return Said("x", status=status, prompt_tokens=20, completion_tokens=10, headers={"Retry-After": "0"})

    with serving(answer) as server:
        spent = None
        with contextlib.suppress(AnnotationError):  # no answer after six tries
            spent, _ = asked(server, prices, 8, concurrency=2, max_cost=cap)
    billed = sum(0.00012 if status == 200 else most for status in sent if status != 429)
    assert billed <= cap * (1 + 1e-9)
    if spent:
        failed = sum(status not in (200, 429) for status in sent)
        assert spent.unsure == pytest.approx(failed * most)


def test_a_run_that_ends_in_an_error_says_what_it_may_have_cost(prices):
    with serving(lambda body: Said(status=500)) as server:
        with pytest.raises(
            AnnotationError, match=r"no answer after 6 tries.*USD, and up to .* may have been billed"
        ):
            asked(server, prices, 1)
        assert len(server.asked) == 6
    with serving(lambda body: Said(status=400)) as server, pytest.raises(AnnotationError) as refused:
        asked(server, prices, 1)
    assert "billed" not in str(refused.value)


def test_a_model_on_this_machine_needs_a_price_for_a_cap(prices, tmp_path):
    with serving(lambda body: "x") as server:
        with pytest.raises(AnnotationError, match="may be a proxy to a paid service"):
            asked(server, None, 1, max_cost=1.0)
        assert not server.asked
        spent, _ = asked(server, None, 1)
        assert spent.cost == 0
        free = tmp_path / "free.yaml"
        free.write_text("models: [{model: m, in: 0, out: 0}]")
        assert asked(server, free, 1, max_cost=0.0)[0].requests == 1
