"""Metrics of log-probabilities: pairs, perplexities, scaffolding against telling."""

import json
import math

import numpy as np
import pytest
from tiny_model import tiny_model

from preceptor.annotation.models.backends.hf import find_model, load_model
from preceptor.annotation.models.backends.text_scores import TextScore, score_texts
from preceptor.schemas.errors import EvaluationError
from preceptor.toolkit.evaluation.metrics.likelihood import (
    check_pairs,
    check_turns,
    measure_perplexity,
    measure_preferred,
    measure_scaffolding,
)
from preceptor.toolkit.evaluation.metrics.statistics import Item, estimate
from preceptor.toolkit.evaluation.scores import keep_scores, remember_scores

ASK = ({"role": "user", "content": "How do I add 1/2 and 1/3?"},)


def item(key, references, rejected=()):
    return Item(key, key, ASK, "?", tuple(references), tuple(rejected))


def value(figures, name, n):
    return estimate(figures[name], [str(k) for k in range(n)], seed=0).value


def by_word(texts):
    """A model that finds "b" likely and "a" not; it takes no more than 40 characters."""
    assert len(set(texts_of(texts))) == len(texts)  # nothing is asked twice
    return [
        None
        if len(t) > 40
        else TextScore(
            log_probability=-sum(2.0 if c == "a" else 0.5 for c in t), tokens=len(t) // 2, characters=len(t)
        )
        for _, t in texts
    ]


def texts_of(texts):
    return [json.dumps([*messages, text]) for messages, text in texts]


def test_pairs_are_compared_by_character_and_counted_by_prompt():
    items = [
        item("1", ["bb", "bb"], ["aa", "aa"]),
        item("2", ["aabb", "bbbb"], ["ab", "a"]),
        item("3", ["x" * 50], ["b"]),
    ]
    score = remember_scores(by_word, {}, lambda _: None)
    figures = measure_preferred(items, score)
    assert figures["preferred"].rows.tolist() == [[1, 1], [1.5, 2], [0, 0]]
    assert value(figures, "preferred", 3) == pytest.approx(2.5 / 3)
    assert value(figures, "preferred_too_long", 3) == pytest.approx(1 / 8)
    check_pairs(items)
    with pytest.raises(EvaluationError, match="dataset_config=preference"):
        check_pairs([item("1", ["b"])])


def test_perplexity_is_that_of_all_tokens_and_bits_do_not_know_them():
    items = [item("1", ["aaaa", "aaaa"]), item("2", ["bb", "bbbb"]), item("3", [])]
    figures = measure_perplexity(items, by_word)
    assert value(figures, "perplexity", 3) == pytest.approx(math.exp((8 + 1 + 2) / (2 + 1 + 2)))
    assert value(figures, "bits_per_character", 3) == pytest.approx((8 + 1 + 2) / math.log(2) / 10)
    assert list(figures) == ["bits_per_character", "perplexity"]  # the first decides between any two models


def test_turns_that_scaffold_are_held_against_those_that_tell():
    turn = lambda action: json.dumps({"Action Based on Evaluation": action, "Tutorbot": "a"})  # noqa: E731
    likely = {"1": 1.0, "4": 2.0, "1,4": 3.0, "2": 6.0, "5": 4.0}

    def score(texts):
        actions = [json.loads(text)["Action Based on Evaluation"] for _, text in texts]
        assert set(actions) <= set(likely)  # nothing else is asked
        return [TextScore(log_probability=-likely[action], tokens=2, characters=9) for action in actions]

    once = [("1", "3"), ("4", "2"), ("5", "1,2"), ("1,4", "12"), ("2", "1")]
    items = [item(str(n), map(turn, actions)) for n, actions in enumerate(once * 2)]
    figures = measure_scaffolding(items, score)
    assert value(figures, "scaffolding_perplexity", 10) == pytest.approx(math.exp((1 + 2 + 3 + 1) / 8))
    assert value(figures, "telling_perplexity", 10) == pytest.approx(math.exp((6 + 4 + 6) / 6))
    assert value(figures, "scaffolding_preference", 10) == pytest.approx(16 / 6 - 7 / 8)
    few = measure_scaffolding(items[:6], score)  # five that scaffold, three that tell
    assert value(few, "scaffolding_perplexity", 6) == pytest.approx(math.exp((1 + 2 + 3 + 1 + 1) / 10))
    assert math.isnan(value(few, "telling_perplexity", 6))
    assert math.isnan(value(few, "scaffolding_preference", 6))
    check_turns(items)
    with pytest.raises(EvaluationError, match="no reference is a tutor's structured turn"):
        check_turns([item("1", ["Well."])])


def test_a_real_model_with_its_adapter_is_asked_each_text_once_and_goes_on_where_it_stopped(tmp_path):
    torch = pytest.importorskip("torch")
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base = tiny_model(tmp_path / "base")
    adapter = get_peft_model(
        AutoModelForCausalLM.from_pretrained(base), LoraConfig(target_modules="all-linear")
    )
    for name, weight in adapter.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=5.0, generator=torch.Generator().manual_seed(0))
    adapter.save_pretrained(tmp_path / "adapter")
    items = [item(str(n), [f"Think of picture {n}."], [f"Ten, since {n} / 3."]) for n in range(20)]
    found = {}
    for name in ("base", "adapter"):
        model, tokenizer = load_model(find_model(str(tmp_path / name)), exact=True)
        calls, kept = [], []

        def score(texts, model=model, tokenizer=tokenizer, calls=calls):
            if len(calls) == 2:
                calls.append(0)
                raise KeyboardInterrupt
            calls.append(len(texts))
            return score_texts(model, tokenizer, texts)

        with pytest.raises(KeyboardInterrupt):
            measure_preferred(items, remember_scores(score, {}, kept.extend))
        assert len(kept) == 32
        again = remember_scores(score, dict(kept), kept.extend)
        pairs, whole = measure_preferred(items, again), measure_perplexity(items, again)
        assert calls == [16, 16, 0, 8]
        assert len(dict(kept)) == len(kept) == 40
        with torch.inference_mode():
            losses = [_loss(torch, model, tokenizer, one.references[0]) for one in items]
        found[name] = value(whole, "perplexity", 20)
        assert found[name] == pytest.approx(
            math.exp(np.sum(losses, axis=0)[0] / np.sum(losses, axis=0)[1]), rel=1e-4
        )
        assert 0 <= value(pairs, "preferred", 20) <= 1
    assert found["base"] != pytest.approx(found["adapter"], rel=0.01)


def _loss(torch, model, tokenizer, text):
    """Nats and tokens of a completion, as transformers' own loss has them."""
    prompt = tokenizer.apply_chat_template(list(ASK), add_generation_prompt=True, tokenize=False)
    before = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    ids = before + tokenizer(text, add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id]
    goals = torch.tensor([[-100] * len(before) + ids[len(before) :]])
    n = len(ids) - len(before)
    return model(torch.tensor([ids]), labels=goals).loss.item() * n, n


def test_scores_are_kept_by_model(tmp_path):
    file, asked = tmp_path / "likelihoods.jsonl", []

    def score(texts):
        asked.extend(texts)
        return by_word(texts)

    items = [item("1", ["bb", "x" * 50]), item("2", ["a" * n for n in range(1, 30)])]
    first = measure_perplexity(items, keep_scores(file, "hf:one", score))
    assert len(asked) == 31
    again = measure_perplexity(items, keep_scores(file, "hf:one", score))
    assert len(asked) == 31
    assert {name: one.rows.tolist() for name, one in first.items()} == {
        name: one.rows.tolist() for name, one in again.items()
    }
    measure_perplexity(items[:1], keep_scores(file, "hf:two", score))
    assert len(asked) == 33
