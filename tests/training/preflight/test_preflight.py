"""Preflight: each defect is found where it is, and the counts are those of TRL's own trainers."""

import json
import math
import os
import shutil
import sys
from dataclasses import replace

import pyarrow as pa
import pytest
from smollm2 import smollm2
from tiny_model import tiny_model
from waiting import run_to_end

from preceptor.schemas.errors import RecipeError
from preceptor.training.preflight.preflight import run_preflight
from preceptor.training.preflight.records import convert_report, format_report
from preceptor.training.stages.settings import PreflightSettings, pick_settings

pytest.importorskip("transformers")

ON_CPU = PreflightSettings(
    bf16=False, gradient_checkpointing=False, per_device_train_batch_size=2, num_train_epochs=2
)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(tiny_model(tmp_path_factory.mktemp("model")))


@pytest.fixture(scope="module")
def tokenizer(model):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(model)


def pairs(n=6):
    return [
        {
            "prompt": f"How do I remember word {i}? ",
            "chosen": f"Think of picture {i}.",
            "rejected": f"Guess {i * i}!",
        }
        for i in range(n)
    ]


def spoken(rows):
    """Plain rows as dialogues."""
    roles = {"prompt": "user"}
    return [
        {
            k: [{"role": roles.get(k, "assistant"), "content": v}] if isinstance(v, str) else v
            for k, v in row.items()
        }
        for row in rows
    ]


def answers(rows):
    return [{"prompt": row["prompt"], "completion": row["chosen"]} for row in rows]


def found(report):
    return {d.kind: d for d in report.defects}


def length(tokenizer, text):
    return len(tokenizer(text)["input_ids"])


@pytest.mark.parametrize("way", [list, spoken])
def test_sound_pairs_pass(way, model):
    report = run_preflight({"train": way(pairs())}, model, "dpo", ON_CPU)
    assert report.defects == ()
    (split,) = report.splits
    assert (split.rows, split.kept, split.dropped, split.tokens_lost) == (6, 6, 0, 0)
    assert 0 < split.loss_tokens < split.tokens
    assert (report.steps_per_epoch, report.steps) == (3, 6)
    assert report.tokens == 2 * split.tokens


def test_what_is_cut_and_what_is_dropped(tokenizer):
    rows = pairs(3)
    rows[1]["prompt"] = "How do I remember word 3? " * 12
    rows[2]["chosen"] = "Think of picture 1 beside word 2." * 3
    limit = length(tokenizer, rows[2]["prompt"] + rows[2]["chosen"]) - 4  # and EOS: five too many
    report = run_preflight({"train": rows}, tokenizer, "dpo", replace(ON_CPU, max_length=limit))
    kinds = found(report)
    assert kinds["dropped"].rows == ("1",)
    assert kinds["truncated"].rows == ("2",)
    assert not report.refusals
    (split,) = report.splits
    assert (split.kept, split.dropped, split.truncated, split.tokens_lost) == (2, 1, 1, 5)
    assert f"--set max_length={split.whole}" in kinds["dropped"].text
    assert not run_preflight(
        {"train": rows}, tokenizer, "dpo", replace(ON_CPU, max_length=split.whole)
    ).defects


def test_pairs_that_say_the_same_are_refused_unless_allowed(tokenizer):
    rows = pairs(3)
    rows[0]["rejected"] = rows[0]["chosen"]
    same = "Think of picture 1 beside word 2. " * 4
    rows[2] |= {"chosen": same + "Ten.", "rejected": same + "Two."}
    settings = replace(ON_CPU, max_length=length(tokenizer, rows[2]["prompt"] + same))
    report = run_preflight({"train": rows}, tokenizer, "dpo", settings)
    (dead,) = report.refusals
    assert (dead.kind, dead.count, dead.rows) == ("dead_pairs", 2, ("0", "2"))
    assert "1 of them only where max_length cuts" in dead.text
    assert found(
        run_preflight({"train": rows}, tokenizer, "ipo", replace(settings, truncation_mode="keep_end"))
    )["dead_pairs"].rows == ("0",)
    allowed = run_preflight({"train": rows}, tokenizer, "dpo", replace(settings, allow=("dead_pairs",)))
    assert not allowed.refusals
    assert "dead_pairs" in found(allowed)


def test_empty_answers(tokenizer):
    rows = pairs(4)
    rows[1]["chosen"] = "  "
    rows[2]["rejected"] = ""
    for way in (list, spoken):
        kinds = found(run_preflight({"train": way(rows)}, tokenizer, "dpo", ON_CPU))
        assert (kinds["empty_completions"].rows, kinds["empty_completions"].refused) == (("1",), True)
        assert (kinds["empty_rejected"].rows, kinds["empty_rejected"].refused) == (("2",), False)


def test_tokens_across_the_boundary(tokenizer):
    rows = [
        {"prompt": "Ten, since 15 / 3", "completion": " is 5."},
        {"prompt": "Think of pic", "completion": "ture 1."},
    ]
    report = run_preflight({"train": rows}, tokenizer, "sft", ON_CPU)
    assert found(report)["boundary"].rows == ("1",)
    # The completion begins where TRL says: before the token that goes across.
    whole = length(tokenizer, "Think of picture 1.") + 1 + length(tokenizer, "Ten, since 15 / 3 is 5.") + 1
    assert report.splits[0].tokens == whole
    bearing = length(tokenizer, " is 5.") + 1 + length(tokenizer, " picture 1.") + 1
    assert report.splits[0].loss_tokens == bearing


def test_tokens_that_the_tokenizer_lacks(tokenizer, model):
    from copy import deepcopy

    bare = deepcopy(tokenizer)
    bare.pad_token, bare.chat_template = None, None
    report = run_preflight({"train": spoken(pairs())}, bare, "sft", ON_CPU)
    assert "columns" in found(report)  # prompt, chosen, rejected are not sft's
    report = run_preflight({"train": spoken(answers(pairs()))}, bare, "sft", ON_CPU)
    kinds = found(report)
    assert "chat_template_path" in kinds["no_chat_template"].text
    assert "'<|pad|>' is in its vocabulary" in kinds["no_pad_token"].text
    assert not kinds["no_pad_token"].refused
    mended = replace(ON_CPU, pad_token="<|pad|>", chat_template_path=model)
    assert not run_preflight({"train": spoken(answers(pairs()))}, bare, "sft", mended).defects
    near = run_preflight({"train": pairs()}, tokenizer, "dpo", replace(ON_CPU, pad_token="<|padd|>"))
    assert "did you mean '<|pad|>'" in found(near)["token_unknown"].text
    bare.eos_token = None
    assert {"no_eos_token", "no_pad_token"} <= {
        d.kind for d in run_preflight({"train": pairs()}, bare, "dpo").refusals
    }


def test_a_template_without_end_or_that_fails(tokenizer):
    from copy import deepcopy

    endless, strict = deepcopy(tokenizer), deepcopy(tokenizer)
    endless.chat_template = tokenizer.chat_template.replace("<|end|>", "")
    assert found(run_preflight({"train": spoken(pairs())}, endless, "dpo", ON_CPU))["no_end"].count == 6
    strict.chat_template = (
        "{% if messages[0]['content'] == 'x' %}{{ raise_exception('no x') }}{% endif %}"
        + tokenizer.chat_template
    )
    rows = spoken(pairs())
    rows[4]["prompt"][0]["content"] = "x"
    rows[5]["prompt"] = []
    failed = found(run_preflight({"train": rows}, strict, "dpo", ON_CPU))["template_fails"]
    assert (failed.rows, failed.refused) == (("4", "5"), True)
    assert "no x" in failed.text


def test_columns(tokenizer):
    (missing,) = run_preflight(
        {"train": [{"prompt": "a", "chosen": "b", "rejectd": "c"}]}, tokenizer, "dpo"
    ).refusals
    assert "'rejected' (did you mean 'rejectd'?)" in missing.text
    rows = [row | {"p": 0.9, "images": "x", "ref_chosen_logps": 1.0} for row in pairs()]
    kinds = found(run_preflight({"train": rows}, tokenizer, "dpo", ON_CPU))
    assert "soft-dpo trains on p" in kinds["columns_ignored"].text
    assert kinds["reserved_columns"].refused
    texts = [row | {"text": "more"} for row in answers(pairs())]
    assert (
        "end-of-text"
        in found(run_preflight({"train": texts}, tokenizer, "sft", ON_CPU))["reserved_columns"].text
    )
    mixed = [{**a, "prompt": b["prompt"]} for a, b in zip(spoken(pairs()), pairs(), strict=True)]
    assert found(run_preflight({"train": mixed}, tokenizer, "dpo", ON_CPU))["mixed_columns"].refused
    assert (
        found(run_preflight({"train": pairs(), "test": []}, tokenizer, "dpo", ON_CPU))["no_rows"].split
        == "test"
    )


def test_nulls_probabilities_and_keys(tokenizer):
    rows = [row | {"p": 0.9, "key": f"k{i}"} for i, row in enumerate(pairs())]
    rows[1]["p"], rows[2]["p"], rows[3]["p"], rows[4]["chosen"] = None, 1.5, 0.2, None
    kinds = found(run_preflight({"train": rows}, tokenizer, "soft-dpo", ON_CPU))
    assert kinds["null_cells"].rows == ("1 (k1)", "4 (k4)")
    assert kinds["p_range"].rows == ("2 (k2)",)
    assert kinds["p_below_half"].rows == ("3 (k3)",)


def test_rows_that_were_there_before(tokenizer):
    rows = pairs(4)
    report = run_preflight({"train": [*rows, rows[2]], "test": [rows[0]]}, tokenizer, "dpo", ON_CPU)
    kinds = found(report)
    assert (kinds["duplicates"].split, kinds["duplicates"].rows) == ("train", ("4",))
    assert (kinds["in_two_splits"].split, kinds["in_two_splits"].rows) == ("test", ("0",))


def test_kto(tokenizer):
    rows = [row | {"label": i % 2 == 0} for i, row in enumerate(answers(pairs()))]
    rows.append(rows[0] | {"label": False})
    kinds = found(
        run_preflight({"train": rows}, tokenizer, "kto", replace(ON_CPU, per_device_train_batch_size=1))
    )
    assert kinds["both_labels"].rows == ("6",)
    assert "2 or more" in kinds["settings"].text
    texts = [row | {"label": str(row["label"])} for row in rows]
    assert "true or false" in found(run_preflight({"train": texts}, tokenizer, "kto", ON_CPU))["columns"].text
    same = [row | {"label": True} for row in rows]
    assert found(run_preflight({"train": same}, tokenizer, "kto", ON_CPU))["one_label"].refused
    paired = run_preflight({"train": pairs()}, tokenizer, "kto", ON_CPU)  # TRL makes two rows of each
    assert (paired.splits[0].rows, paired.defects) == (12, ())
    assert (
        paired.splits[0].tokens
        == run_preflight({"train": pairs()}, tokenizer, "dpo", ON_CPU).splits[0].tokens
    )


def test_a_loss_on_the_assistant_alone(tokenizer):
    from copy import deepcopy

    only = replace(ON_CPU, assistant_only_loss=True)
    rows = spoken(answers(pairs()))
    assert (
        "generation"
        in found(run_preflight({"train": rows}, tokenizer, "sft", only))["no_generation_marks"].text
    )
    assert (
        "dialogues"
        in found(run_preflight({"train": answers(pairs())}, tokenizer, "sft", only))["settings"].text
    )
    marked = deepcopy(tokenizer)
    marked.chat_template = (
        "{% for m in messages %}{% if m['role'] == 'assistant' %}<|assistant|>\n{% generation %}{{ m['content'] }}<|end|>"
        "{% endgeneration %}{% else %}<|user|>\n{{ m['content'] }}<|end|>{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
    )
    report = run_preflight(
        {"train": [{"messages": r["prompt"] + r["completion"]} for r in rows]}, marked, "sft", only
    )
    assert not report.defects
    assert report.splits[0].loss_tokens == sum(length(marked, r["chosen"]) + 1 for r in pairs())


def test_misspelt_names_are_answered_with_the_right_one(tokenizer):
    for said, kwargs in (
        ("dpo", {"stage": "dpoo"}),
        ("dead_pairs", {"settings": PreflightSettings(allow=("ded_pairs",))}),
        ("keep_end", {"settings": PreflightSettings(truncation_mode="keepend")}),
    ):
        with pytest.raises(RecipeError, match=f"did you mean {said}"):
            run_preflight({"train": pairs()}, tokenizer, **{"stage": "dpo", **kwargs})
    with pytest.raises(RecipeError, match="no tokenizer"):
        run_preflight({"train": pairs()}, "/nowhere", "dpo")


def test_the_report_for_the_screen_and_for_the_file(model):
    rows = pairs(3)
    rows[0]["rejected"] = rows[0]["chosen"]
    settings = pick_settings(
        {"use_peft": True, "lora_target_modules": ["q_proj", "v_proj"], "learning_rate": 1e-4}
    )
    report = run_preflight({"train": pa.Table.from_pylist(rows)}, model, "dpo", settings)
    table = format_report(report)
    assert "REFUSED dead_pairs (train): 1 of 3 pairs" in table
    assert "[row 0]" in table
    assert "GiB of GPU memory" in table
    data = json.loads(json.dumps(convert_report(report)))
    assert [d["kind"] for d in data["refusals"]] == ["dead_pairs"]
    assert data["size"]["total"] == report.size.total > 2**30


def test_parameters_and_memory(model):
    peft = pytest.importorskip("peft")
    from transformers import AutoModelForCausalLM

    whole = AutoModelForCausalLM.from_pretrained(model)
    n = sum(p.numel() for p in whole.parameters())
    full = run_preflight({"train": pairs()}, model, "dpo", ON_CPU).size
    assert (full.parameters, full.trainable) == (n, n)
    assert (full.weights, full.reference, full.gradients, full.optimizer) == (4 * n, 4 * n, 4 * n, 8 * n)
    for targets in (None, ["q_proj", "down_proj"], "all-linear"):
        with_lora = peft.get_peft_model(
            AutoModelForCausalLM.from_pretrained(model),
            peft.LoraConfig(r=4, target_modules=targets, task_type="CAUSAL_LM"),
        )
        settings = pick_settings({"use_peft": True, "lora_r": 4, "lora_target_modules": targets})
        size = run_preflight({"train": pairs()}, model, "dpo", settings).size
        assert (size.trainable, size.parameters) == with_lora.get_nb_trainable_parameters()
        assert size.reference == 0
    four = run_preflight({"train": pairs()}, model, "dpo", replace(settings, load_in_4bit=True)).size
    assert four.weights < size.weights
    wrong = run_preflight({"train": pairs()}, model, "dpo", replace(settings, lora_target_modules=("q_prj",)))
    assert "did you mean q_proj?" in found(wrong)["lora_target_modules"].text


@pytest.mark.parametrize(("mixed", "dtype"), [(False, "float32"), (True, "float32"), (True, "bfloat16")])
def test_activations_are_about_what_autograd_keeps(mixed, dtype, tmp_path):
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from preceptor.training.preflight.memory import estimate_size

    config = LlamaConfig(
        vocab_size=300,
        hidden_size=256,
        intermediate_size=700,
        num_hidden_layers=4,
        num_attention_heads=8,
        num_key_value_heads=4,
    )
    config.save_pretrained(tmp_path)
    model, kept = LlamaForCausalLM(config).to(getattr(torch, dtype)), {}
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with (
        torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t),
        torch.autocast("cpu", torch.bfloat16, enabled=mixed),
    ):
        model.model(input_ids=torch.zeros(1, 256, dtype=torch.long), use_cache=False)
    measured = sum(t.untyped_storage().nbytes() for at, t in kept.items() if at not in own)
    settings = PreflightSettings(
        per_device_train_batch_size=1, bf16=mixed, gradient_checkpointing=False, dtype=dtype
    )
    estimated = estimate_size(tmp_path, "sft", settings, longest=200).activations  # padded to 256
    assert estimated == pytest.approx(measured, rel=0.2)
    fewer = estimate_size(tmp_path, "sft", replace(settings, gradient_checkpointing=True), longest=200)
    assert fewer.activations < estimated / 2


def test_smollm2():
    folder = smollm2()
    rows = spoken(pairs())
    report = run_preflight({"train": rows}, folder, "dpo", replace(ON_CPU, use_peft=True))
    assert not report.refusals
    assert not {"boundary", "no_end", "truncated"} & set(found(report))
    assert report.size.parameters > 134_515_008  # and the adapter's


def _held(rows, kind):
    from datasets import Dataset

    return Dataset.from_list(rows if kind == "plain" else spoken(rows))


def _rows_for_trl():
    rows = pairs(30)
    for i in (3, 11):
        rows[i]["prompt"] = "How do I remember word 3? " * 6
    for i in (4, 12, 20):
        rows[i]["chosen"] = "Think of picture 1 beside word 2. " * 5
    rows[21] |= {"prompt": "Think of pic", "chosen": "ture 1.", "rejected": "tures."}
    return rows


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["plain", "spoken"])
def test_the_counts_are_those_of_trl(kind, model, tmp_path):
    pytest.importorskip("trl")
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer, SFTConfig, SFTTrainer

    tokenizer, weights = AutoTokenizer.from_pretrained(model), AutoModelForCausalLM.from_pretrained(model)
    common = {
        "max_length": 48,
        "use_cpu": True,
        "bf16": False,
        "report_to": "none",
        "gradient_checkpointing": False,
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 2,
        "output_dir": str(tmp_path),
    }
    rows = _rows_for_trl()

    def counted(trainer, stage, data, args):
        mine = run_preflight(
            {"train": data}, model, stage, pick_settings(args | {"num_train_epochs": 3})
        ).splits[0]
        kept = len(trainer.train_dataset)
        return mine, kept

    for more in (
        {},
        {"truncation_mode": "keep_end"},
        {"completion_only_loss": False},
        {"max_length": None},
        {"packing": True},
        {"packing": True, "packing_strategy": "wrapped"},
        {"packing": True, "packing_strategy": "bfd_split"},
    ):
        args = common | more
        data = _held(answers(rows), kind)
        trainer = SFTTrainer(weights, SFTConfig(**args), train_dataset=data, processing_class=tokenizer)
        mine, kept = counted(trainer, "sft", data, args)
        ids, marks = trainer.train_dataset["input_ids"], trainer.train_dataset["labels"]
        assert mine.sequences == kept, more
        assert mine.tokens == sum(len(i) for i in ids), more
        assert mine.loss_tokens == sum(label != -100 for row in marks for label in row), more
    labelled = [row | {"label": i % 2 == 0} for i, row in enumerate(answers(rows))]
    whole = {"max_length": None}
    for stage, made, config, given, settings in (
        ("dpo", DPOTrainer, DPOConfig, rows, ({}, {"truncation_mode": "keep_end"}, whole)),
        ("kto", KTOTrainer, KTOConfig, labelled, ({}, whole)),
    ):
        for more in settings:
            args = common | more
            data = _held(given, kind)
            trainer = made(weights, None, config(**args), train_dataset=data, processing_class=tokenizer)
            mine, kept = counted(trainer, stage, data, args)
            batch = trainer.data_collator(list(trainer.train_dataset))
            assert mine.kept == kept, (stage, more)
            assert (mine.tokens, mine.loss_tokens) == (
                batch["attention_mask"].sum(),
                batch["completion_mask"].sum(),
            ), (stage, more)


REVISED = """
import json, sys
from preceptor.training.preflight.preflight import run_preflight
from preceptor.training.stages.settings import PreflightSettings
for revision in (None, sys.argv[1]):
    report = run_preflight({"train": json.loads(sys.argv[2])}, "acme/tiny", "dpo", PreflightSettings(model_revision=revision))
    print(report.splits[0].tokens, report.size.parameters)
"""


def test_tokenizer_and_size_are_those_of_the_revision(tmp_path, model):
    """Two commits of a model on the Hub, as a cache of it holds them."""
    commits = {"a" * 40: tiny_model(tmp_path / "old", vocabulary=300), "b" * 40: model}
    held = tmp_path / "home" / "hub" / "models--acme--tiny"
    for commit, folder in commits.items():
        shutil.copytree(folder, held / "snapshots" / commit)
    (held / "refs").mkdir()
    (held / "refs" / "main").write_text("b" * 40)
    done = run_to_end(
        [sys.executable, "-c", REVISED, "a" * 40, json.dumps(pairs())],
        env={
            **os.environ,
            "HF_HOME": str(tmp_path / "home"),
            "HF_HUB_OFFLINE": "1",
            "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
        },
        check=True,
    )
    expected = [run_preflight({"train": pairs()}, commits[name * 40], "dpo") for name in "ba"]
    assert done.stdout.split() == [str(n) for r in expected for n in (r.splits[0].tokens, r.size.parameters)]
    assert expected[0].splits[0].tokens < expected[1].splits[0].tokens


@pytest.mark.slow
def test_the_steps_are_those_of_trl(model, tmp_path):
    pytest.importorskip("trl")
    from trl import SFTConfig, SFTTrainer

    args = {
        "max_length": 64,
        "use_cpu": True,
        "bf16": False,
        "report_to": "none",
        "gradient_checkpointing": False,
        "per_device_train_batch_size": 3,
        "gradient_accumulation_steps": 2,
        "num_train_epochs": 1.5,
        "save_strategy": "no",
        "output_dir": str(tmp_path),
    }
    data = _held(answers(pairs(16)), "plain")
    trainer = SFTTrainer(model, SFTConfig(**args), train_dataset=data)
    trainer.train()
    report = run_preflight({"train": data}, model, "sft", pick_settings(args))
    assert report.steps == trainer.state.global_step == math.ceil(1.5 * 3)


def test_tokens_without_an_embedding_are_refused_and_a_larger_model_takes_them(tmp_path, model):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    shutil.copytree(model, tmp_path / "m")
    longer = AutoTokenizer.from_pretrained(model)
    longer.add_tokens(["<|hint|>"])
    longer.save_pretrained(tmp_path / "m")
    unused = run_preflight({"train": pairs()}, tmp_path / "m", "dpo", ON_CPU)
    assert not unused.refusals
    assert f"the tokenizer has {len(longer)} tokens" in found(unused)["vocabulary"].text
    rows = pairs()
    rows[2]["chosen"] += "<|hint|>"
    refused = found(run_preflight({"train": rows}, tmp_path / "m", "dpo", ON_CPU))
    assert refused["no_embedding"].rows == ("2",)
    padded = replace(ON_CPU, pad_token="<|hint|>")
    (refusal,) = run_preflight({"train": pairs()}, tmp_path / "m", "dpo", padded).refusals
    assert "none for the pad_token '<|hint|>'" in refusal.text
    assert f"resize_token_embeddings({len(longer)})" in refusal.text
    larger = AutoModelForCausalLM.from_pretrained(tmp_path / "m")
    larger.resize_token_embeddings(len(longer))
    larger.save_pretrained(tmp_path / "m")
    for settings in (ON_CPU, padded):
        assert run_preflight({"train": rows}, tmp_path / "m", "dpo", settings).defects == ()
