"""Near-duplicates: against brute force on made-up and real texts, crowds, order, scripts without spaces."""

import json
import random

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preceptor.toolkit.dataset.choose.pairs import NORMAL
from preceptor.toolkit.dataset.gates.leaks import near_duplicates as near_module
from preceptor.toolkit.dataset.gates.leaks.near_duplicates import (
    SHINGLE,
    SHORTEST,
    compute_similarity,
    find_near,
)
from preceptor.toolkit.store.connection import open_scratch, query, run


def shingle_set(text):
    return {text[i : i + SHINGLE] for i in range(len(text) - SHINGLE + 1)}


def jaccard(a, b):
    return len(a & b) / len(a | b) if a | b else None


def search(rows, threshold=0.8, **keys):
    """{(text, text): similarity} among (text, sides)."""
    with open_scratch() as con:
        con.register("rows", pl.DataFrame(rows, schema=["text", "sides"], orient="row").to_arrow())
        run(
            con,
            f"""CREATE TEMP TABLE texts AS
            SELECT {NORMAL("text")} AS "text", bit_or(sides) AS sides FROM rows GROUP BY 1""",
        )
        find_near(con, "texts", threshold, **keys)
        found = query(
            con,
            """SELECT a.text AS a, b.text AS b, similarity FROM near
            JOIN texts a ON a.rowid = l JOIN texts b ON b.rowid = r""",
        )
        run(con, "DROP TABLE texts")
    return {(a, b): s for a, b, s in found.rows()}


def unordered(found):
    return {tuple(sorted(pair)): s for pair, s in found.items()}


def by_brute_force(texts, threshold=0.8):
    texts = sorted((t, shingle_set(t)) for t in set(texts) if len(t) >= SHORTEST)
    pairs = {}
    for i, (text, mine) in enumerate(texts):
        for other, its in texts[:i]:
            if min(len(mine), len(its)) >= threshold * max(len(mine), len(its)):
                pairs[other, text] = jaccard(mine, its)
    return {pair: s for pair, s in pairs.items() if s >= threshold}


def variants(rng, n, alphabet, length):
    """Texts, and for each a variant with a few characters changed."""
    for _ in range(n):
        text = "".join(rng.choices(alphabet, k=length))
        changed = list(text)
        for place in rng.sample(range(length), rng.randrange(4)):
            changed[place] = rng.choice(alphabet)
        yield text
        yield "".join(changed)


@pytest.mark.parametrize(
    "alphabet", ["abcdefghij ", "的一是不了人在有我他这个们中来上大和国", "абвгґдеєжз ", "😀👍🏽é̂x"]
)
def test_it_finds_what_brute_force_finds_in_any_script(alphabet):
    texts = list(variants(random.Random(1), 150, alphabet, 120))
    with open_scratch() as con:
        con.register("t", pl.DataFrame({"t": texts}).to_arrow())
        normal = query(con, f"SELECT DISTINCT {NORMAL('t')} AS t FROM t")["t"].to_list()
    expected = by_brute_force(normal)
    assert len(expected) > 50
    assert unordered(search([(t, 1) for t in texts])) == pytest.approx(expected)


@given(st.lists(st.tuples(st.text(max_size=30), st.text(max_size=30)), min_size=1, max_size=8))
def test_similarity_is_jaccard_of_shingles(pairs):
    a, b = map(list, zip(*pairs, strict=True))
    for found, one, other in zip(compute_similarity(a, b), a, b, strict=True):
        expected = jaccard(shingle_set(one), shingle_set(other))
        assert np.isnan(found) if expected is None else found == pytest.approx(expected)


def test_order_and_chunks_change_nothing(monkeypatch):
    rows = [(t, 1) for t in variants(random.Random(2), 100, "abcdef ", 80)]
    whole = search(rows)
    monkeypatch.setattr(near_module, "_CHUNK", 7)
    monkeypatch.setattr(near_module, "_BATCH", 3)
    monkeypatch.setattr(near_module, "_CHARACTERS", 100)
    assert search(rows[::-1]) == whole
    assert whole


def test_only_sides_that_are_asked_for_are_compared():
    text = "how many apples does anna have left after she gave seven away to ben and two to carl"
    rows = [(text, 1), (text + "?", 2), (text + "!", 4), (text + "??", 1)]
    found = search(rows, between=[(1, 2)])
    assert set(found) == {(text, text + "?"), (text + "??", text + "?")}
    assert set(search(rows, between=[(1 | 2, 4)])) == {
        (t, text + "!") for t in (text, text + "?", text + "??")
    }


def test_short_texts_are_near_to_none():
    text = "x = 12 + 30, and y = 4 ".ljust(SHORTEST - 2, "z")
    assert search([(text, 1), (text + "!", 1)]) == {}
    assert search([(text + "ab", 1), (text + "ab!", 1)]) != {}


def test_nothing_gives_nothing():
    assert search([("", 1), ("", 2)]) == {}
    assert compute_similarity([], []).tolist() == []


def test_a_crowd_of_variants_is_not_compared_each_with_each(monkeypatch):
    monkeypatch.setattr(near_module, "_CROWDED", 100)
    base = "what is the sum of all the numbers on the board if each of them grows by one and then halves "
    rows = [(f"{base}{i}", 1 if i % 4 else 2) for i in range(2000)]
    compared = []
    of_pairs = near_module.compute_similarity
    monkeypatch.setattr(near_module, "compute_similarity", lambda a, b: compared.extend(a) or of_pairs(a, b))
    found = search(rows, between=[(1, 2)])
    assert len(compared) < 50_000  # of 750,000
    assert {a for a, _ in found} == {text for text, side in rows if side == 1}
    assert {b for _, b in found} == {text for text, side in rows if side == 2}


def test_prompts_of_socratic_llm_repeat_as_facts_say(shared_data):
    """facts.json: `prompts` counts a list's elements, `distinct` its texts. Near texts it does not count:
    those are compared with brute force."""
    facts = json.loads((shared_data / "socratic-llm/facts.json").read_text())
    for name in ("mathdial_test", "debugging_test", "tutorchat_test"):
        prompts = json.loads((shared_data / f"socratic-llm/{name}.json").read_text(encoding="utf-8"))
        with open_scratch() as con:
            con.register("t", pl.DataFrame({"t": prompts}).to_arrow())
            normal = query(con, f"SELECT {NORMAL('t')} AS t FROM t")["t"].to_list()
        assert (len(normal), len(set(normal))) == (facts[name]["prompts"], facts[name]["distinct"])
        expected = by_brute_force(normal)
        assert bool(expected) == (name == "debugging_test")
        assert unordered(search([(t, 1) for t in normal])) == pytest.approx(expected)


def test_recall_on_real_sentences(shared_data):
    """Sentences of JFLEG beside their corrections: what brute force finds at 0.8 is found."""
    sentences = {
        line
        for path in sorted((shared_data / "jfleg/dev").glob("dev.*"))
        for line in path.read_text(encoding="utf-8").lower().split("\n")[:150]
    }
    texts = [" ".join(s.split()) for s in sorted(sentences)]
    expected = by_brute_force(texts)
    found = unordered(search([(t, 1) for t in texts]))
    assert len(expected) > 150
    assert set(found) <= set(expected)
    assert len(found) >= 0.99 * len(expected)


def test_rows_of_an_open_transaction_are_found():
    """Where DuckDB numbers rows from 2^60 on; a build is one transaction."""
    said = "a long text, said again " * 4
    with open_scratch() as con:
        con.begin()
        run(
            con,
            f"""CREATE TEMP TABLE fresh AS
            SELECT unnest(['{said}', '{said}!', 'short']) AS "text", 1 AS sides""",
        )
        find_near(con, "fresh")
        assert query(con, "SELECT similarity > 0.9 AS near FROM near")["near"].to_list() == [True]
