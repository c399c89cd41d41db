"""Dead pairs: counted as a loop over TRL's steps counts them; tokenizers that cannot be used say why."""

import json
import random
import sys

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preceptor.schemas.errors import GateError
from preceptor.toolkit.dataset.gates import same_tokens as dead_module
from preceptor.toolkit.dataset.gates.same_tokens import check_same_tokens
from preceptor.toolkit.dataset.gates.tokens import encode, read_encoder, render_texts
from preceptor.toolkit.store.connection import open_scratch, query, run

tokenizers = pytest.importorskip("tokenizers")

WORDS = [a + b for a in ("ba", "do", "ki", "lu", "me", "no") for b in ("", "r", "st", "n", "lt")]
TEMPLATE = (
    "{%- for m in messages %}{% generation %}<{{ m.role }}> {{ m.content | trim }} </s>\n{% endgeneration %}"
    "{%- endfor %}{% if add_generation_prompt %}<assistant> {% endif %}"
)


@pytest.fixture(scope="module", params=["words", "bytes"])
def folder(request, tmp_path_factory):
    """A tokenizer of BPE, trained here: of words, some unknown to it, or of bytes."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    special = ["<unk>", "<s>", "</s>", "<user>", "<assistant>", "<system>"]
    if request.param == "words":
        one = Tokenizer(models.BPE(unk_token="<unk>"))
        one.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        keys = {"vocab_size": 60}
    else:
        one = Tokenizer(models.BPE())
        one.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        one.normalizer = normalizers.NFC()
        keys = {"vocab_size": 300, "initial_alphabet": pre_tokenizers.ByteLevel.alphabet()}
    one.train_from_iterator([" ".join(WORDS)] * 3, trainers.BpeTrainer(special_tokens=special, **keys))
    one.post_processor = processors.TemplateProcessing("<s> $A", special_tokens=[("<s>", 1)])
    one.enable_truncation(5)  # of its own, which must not count
    path = tmp_path_factory.mktemp("tokenizer")
    one.save(str(path / "tokenizer.json"))
    config = {"eos_token": {"content": "</s>"}, "bos_token": "<s>", "chat_template": TEMPLATE}
    (path / "tokenizer_config.json").write_text(json.dumps(config))
    return path


def keep(con, pairs):
    """kept of (prompt, chosen, rejected), keys by number."""
    rows = [
        ("preference", f"k{i:05}", "train", [{"role": "user", "content": p}], c, r)
        for i, (p, c, r) in enumerate(pairs)
    ]
    schema = {
        "config": pl.String,
        "key": pl.String,
        "split": pl.String,
        "messages": pl.List(pl.Struct({"role": pl.String, "content": pl.String})),
        "chosen_content": pl.String,
        "rejected_content": pl.String,
    }
    con.register("rows", pl.DataFrame(rows, schema=schema, orient="row").to_arrow())
    run(con, "CREATE OR REPLACE TEMP TABLE kept AS FROM rows")
    con.unregister("rows")


def find(encoder, pairs, *cut):
    with open_scratch() as con:
        keep(con, pairs)
        gate = check_same_tokens(con, encoder, *cut)
        found = {int(key[1:]) for key in query(con, "SELECT key FROM dead")["key"]}
        run(con, "DROP TABLE kept")
        run(con, "DROP TABLE dead")
    assert gate.number == len(found)
    assert gate.passed == (not found)
    return gate, found


def by_loop(folder, pairs, conversational, max_length, cut):
    """What TRL does with one pair after another, spelt out."""
    one = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    one.no_truncation()

    def ids(prompt, completion):
        if not conversational:
            return one.encode(prompt if completion is None else prompt + completion + "</s>").ids
        text = f"<user> {prompt.strip()} </s>\n"
        text += "<assistant> " if completion is None else f"<assistant> {completion.strip()} </s>\n"
        return one.encode(text, add_special_tokens=False).ids

    found = set()
    for i, (prompt, chosen, rejected) in enumerate(pairs):
        p, c, r = ids(prompt, None), ids(prompt, chosen), ids(prompt, rejected)
        n = 0
        while n < min(len(p), len(c), len(r)) and p[n] == c[n] == r[n]:
            n += 1
        kept = slice(None, max_length) if cut == "keep_start" else slice(-max_length, None)
        sides = [(x[kept], ([0] * n + [1] * (len(x) - n))[kept]) for x in (c, r)]
        if sides[0] == sides[1]:
            found.add(i)
    return found


def text(rng, n):
    return " ".join(rng.choices(WORDS, k=n))


def test_exactly_352_of_thousands_of_pairs_are_dead(folder):
    """Both sides of these begin alike for longer than max_length; the others differ before it."""
    rng = random.Random(0)
    dead = set(rng.sample(range(4000), 352))
    pairs = []
    for i in range(4000):
        prompt, common = text(rng, 5), text(rng, 90 if i in dead else 3)
        pairs.append((prompt, f"{common} ba {text(rng, 20)}", f"{common} do {text(rng, 20)}"))
    encoder = read_encoder(str(folder))
    gate, found = find(encoder, pairs, 60)
    assert found == dead == by_loop(folder, pairs, True, 60, "keep_start")
    assert gate.number == 352
    assert gate.verdict.startswith(
        f"352 pairs are the same tokens on both sides cut to 60, the first: k{min(dead):05};"
    )
    assert find(encoder, pairs, None)[1] == set()


pieces = st.lists(
    st.sampled_from(["ba", "do", "kist", "Z", "</s>", "x", "é", "e\u0301", "é" * 9]), max_size=5
).map(" ".join)


@pytest.mark.parametrize("conversational", [True, False])
@pytest.mark.parametrize("cut", ["keep_start", "keep_end"])
def test_every_cut_is_trls(folder, conversational, cut):
    encoder = read_encoder(str(folder), conversational)

    @given(st.lists(st.tuples(pieces, pieces, pieces), max_size=12), st.integers(1, 40))
    def check(pairs, max_length):
        pairs = [tuple(t.removesuffix("</s>") for t in pair) for pair in pairs]
        expected = by_loop(folder, pairs, conversational, max_length, cut)
        assert find(encoder, pairs, max_length, cut)[1] == expected

    settings(max_examples=60)(check)()


def test_batches_change_nothing(folder, monkeypatch):
    rng = random.Random(1)
    pairs = [(text(rng, 2), text(rng, rng.randrange(4)), text(rng, rng.randrange(4))) for _ in range(100)]
    encoder = read_encoder(str(folder))
    whole = find(encoder, pairs, 7)[1]
    monkeypatch.setattr(dead_module, "_ROWS", 3)
    monkeypatch.setattr(dead_module, "_CHUNK", 7)
    assert find(encoder, pairs, 7)[1] == whole != set()


def test_texts_that_the_tokenizer_does_not_tell_apart_are_dead_uncut(folder):
    encoder = read_encoder(str(folder))
    dead = set() if encoder.faithful else {0}
    assert find(encoder, [("ba", "Ω", "Ψ"), ("ba", "do", "ki")], None)[1] == dead


def test_pairs_that_surely_differ_are_not_tokenised(folder, monkeypatch):
    seen = []
    encode = dead_module.encode
    monkeypatch.setattr(
        dead_module, "encode", lambda encoder, texts: seen.extend(texts) or encode(encoder, texts)
    )
    rng = random.Random(2)
    pairs = [(text(rng, 3), text(rng, 9), text(rng, 9)) for _ in range(50)]
    encoder = read_encoder(str(folder))
    assert find(encoder, pairs, 200)[1] == set()
    assert bool(seen) == (not encoder.faithful)


def test_a_completion_that_ends_itself_gets_no_second_end(folder):
    encoder = read_encoder(str(folder), conversational=False)
    prompt = [[{"role": "user", "content": "ba "}]]
    once, twice = (list(render_texts(encoder, prompt, [completion])) for completion in ("do", "do</s>"))
    assert once == twice == ["ba do</s>"]
    assert encode(encoder, once)[0][-1] == 2


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("{{ raise_exception('begin with the user') }}", "begin with the user"),
        ("{{ messages[7]['role'] }}", "no element 7"),
        ("{{ 1 // 0 }}", "division"),
        ("{{ 'a' + 1 }}", "concatenate"),
    ],
)
def test_rows_that_the_template_refuses_are_named_and_can_be_dropped(folder, tmp_path, fault, said):
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_text((folder / name).read_text())
    refusing = "{% if 'bast' in messages[0].content %}" + fault + "{% endif %}" + TEMPLATE
    (tmp_path / "chat_template.jinja").write_text(refusing)
    pairs = [
        ("ba", "do", "ki"),
        ("bast", "do", "ki"),
        ("bast lu", "do", None),
        ("no", "do", None),
        ("no", "me", "me"),
    ]
    gate, found = find(read_encoder(str(tmp_path)), pairs, None)
    assert found == {1, 2, 4}
    assert "1 pairs are the same tokens on both sides, the first: k00004" in gate.verdict
    assert "the chat template refuses 2 rows, the first: k00001" in gate.verdict
    assert said in gate.verdict
    assert "tokenizer: {drop: true}" in gate.verdict
    assert gate.drop.reason == "the same tokens once they are cut or refused by the chat template"


def test_tokenizers_that_cannot_be_used_say_why(folder, tmp_path, monkeypatch):
    (tmp_path / "tokenizer.json").write_text((folder / "tokenizer.json").read_text())
    with pytest.raises(GateError, match="has no chat template, which format: conversational needs"):
        read_encoder(str(tmp_path))
    (tmp_path / "chat_template.jinja").write_text("{% if %}")
    with pytest.raises(GateError, match="its chat template cannot be read"):
        read_encoder(str(tmp_path))
    (tmp_path / "chat_template.jinja").write_text("{{ raise_exception('roles must alternate') }}")
    gate, found = find(read_encoder(str(tmp_path)), [("a", "b", "c")], 9)
    assert found == {0}
    assert "refuses 1 rows, the first: k00000 (roles must alternate)" in gate.verdict
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(GateError, match="cannot be read"):
        read_encoder(str(tmp_path))
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(GateError, match=r"holds no tokenizer\.json"):
        read_encoder(str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(GateError, match="no such folder, and not to be had from the Hub"):
        read_encoder("nobody//nothing")
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(GateError, match="pip install tokenizers"):
        read_encoder(str(folder))
