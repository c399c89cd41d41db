"""Bench of training: `preceptor train` beside the same run by TRL's own script, from the same recipe.

    first step after 9.1 s (8.9 CPU s), a step 0.31 s (0.30 CPU s)

Both are whole programs in a process of their own, with one thread of torch. The same hook notes the clocks
at every step; what lies between two steps (logging, callbacks, batches) counts as the step's.
"""

import hashlib
import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .measure import LAST_WORDS, Done, Job, Work, peak_mb

PAIRS = 2000
STEPS = 24
_WARM = 3  # steps that are not counted
_HIDDEN, _LAYERS = 256, 4
_WORDS = [
    "the", "pupil", "reads", "asks", "why", "this", "sum", "goes", "wrong", "and", "tries", "again", "with",
    "smaller", "numbers", "first", "then", "checks", "each", "part", "explains", "what", "was", "found",
]  # fmt: skip
_TEMPLATE = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>' + m['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
_HOOK = """
import json, os, sys, time
import transformers
from transformers import TrainerCallback
seen = []
class Clocks(TrainerCallback):
    def on_step_begin(self, *_, **__):
        seen.append((time.time() - float(os.environ["BENCH_BEGAN"]), time.process_time()))
    def on_train_end(self, *_, **__):
        open(os.environ["BENCH_CLOCKS"], "w").write(json.dumps(seen))
made = transformers.Trainer.__init__
def init(self, *arguments, **named):
    made(self, *arguments, **named)
    self.add_callback(Clocks())
transformers.Trainer.__init__ = init
"""
_OURS = _HOOK + "from preceptor.toolkit.cli.main import main; main()"
_PLAIN = _HOOK + "import runpy; runpy.run_module('trl.scripts.dpo', run_name='__main__')"


def prepare_training(folder: Path, shrink: int) -> str:
    """A tiny model of random weights, made-up pairs laid out as a build, and the recipe of both sides."""
    if importlib.util.find_spec("trl") is None:
        return "not made: TRL is not installed"
    import yaml

    pairs = PAIRS // shrink
    _model(folder / "model")
    _dataset(folder / "data", pairs)
    recipe = {
        "model_name_or_path": str(folder / "model"), "dataset_name": str(folder / "data"),
        "dataset_config": "preference", "max_steps": STEPS, "per_device_train_batch_size": 2,
        "learning_rate": 1e-4, "max_length": 256, "logging_steps": 1, "save_strategy": "no",
        "report_to": "none", "disable_tqdm": True, "use_cpu": True, "bf16": False,
        "gradient_checkpointing": False, "use_peft": True, "lora_target_modules": ["all-linear"],
        "env": {"preceptor": {"stage": "dpo"}},
    }  # fmt: skip
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return f"{pairs:,} pairs, {STEPS} steps of 2"


def _model(folder: Path) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, set_seed

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    special = ["<|pad|>", "<|end|>", "<|user|>", "<|assistant|>"]
    raw.train_from_iterator([" ".join(_WORDS)], trainers.BpeTrainer(
        vocab_size=1000, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False))  # fmt: skip
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="<|pad|>", eos_token="<|end|>")  # noqa: S106
    tokenizer.chat_template = _TEMPLATE
    set_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=_HIDDEN, intermediate_size=2 * _HIDDEN,
        num_hidden_layers=_LAYERS, num_attention_heads=4, num_key_value_heads=2,
        max_position_embeddings=512, pad_token_id=0, eos_token_id=1, bos_token_id=None,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _dataset(folder: Path, pairs: int) -> None:
    import random

    import yaml
    from datasets import Dataset

    draw = random.Random(0)

    def said(role: str, words: int) -> list[dict[str, str]]:
        return [{"role": role, "content": " ".join(draw.choices(_WORDS, k=words))}]

    rows = [{"prompt": said("user", 60), "chosen": said("assistant", 40), "rejected": said("assistant", 40)}
            for _ in range(pairs)]  # fmt: skip
    file = folder / "preference" / "train.parquet"
    file.parent.mkdir(parents=True)
    Dataset.from_list(rows).to_parquet(file)
    held = [{"config_name": "preference",
             "data_files": [{"split": "train", "path": "preference/train.parquet"}]}]  # fmt: skip
    (folder / "README.md").write_text(f"---\n{yaml.safe_dump({'configs': held})}---\n", encoding="utf-8")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    manifest = {"recipe": {"name": "bench", "publish_under": None},
                "counts": {"preference": {"train": pairs}}, "files": {"preference/train.parquet": digest},
                "gates": [], "licenses": []}  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def train_ours(job: Job) -> Work:
    """`preceptor train`: the rows checked, trained on, and the model's folder written with its card."""
    out = job.folder / f"ours-{job.repetition}"
    return _program(job, "ours", _OURS, "train", str(job.folder / "recipe.yaml"), "--out", str(out))


def train_plain(job: Job) -> Work:
    """TRL's own script (what `trl dpo` launches, without the launcher) and the weights saved."""
    out = job.folder / f"plain-{job.repetition}"
    return _program(
        job, "plain", _PLAIN, "--config", str(job.folder / "recipe.yaml"), "--output_dir", str(out)
    )


def _program(job: Job, who: str, code: str, *arguments: str) -> Work:
    clocks = job.folder / f"{who}-{job.repetition}.json"
    command = [sys.executable, "-c", LAST_WORDS + code, *arguments]

    def work() -> Done:
        environment = {
            **os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "HF_HOME": str(job.folder / who),
            "BENCH_CLOCKS": str(clocks), "BENCH_BEGAN": str(time.time()),
        }  # fmt: skip
        ended = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        if ended.returncode:
            raise RuntimeError(" ".join(ended.stderr.split())[-300:])
        first, step = _figures(clocks)
        return Done(
            f"first step after {first[0]:.1f} s ({first[1]:.1f} CPU s), "
            f"a step {step[0]:.3f} s ({step[1]:.3f} CPU s)",
            peak_mb(ended.stderr, resource.RUSAGE_CHILDREN),
        )

    return work


def _figures(clocks: Path) -> tuple[list[float], list[float]]:
    """Seconds and CPU seconds to the first step, and those of a step: the lower quartile.

    What else runs on the machine only adds to a step, and to some more than to others.
    """
    seen = json.loads(clocks.read_text(encoding="utf-8"))
    steps = [[b - a for a, b in zip(one, other, strict=True)]
             for one, other in zip(seen[_WARM:], seen[_WARM + 1 :], strict=False)]  # fmt: skip
    return seen[0], [statistics.quantiles(values, n=4)[0] for values in zip(*steps, strict=True)]


def train_told(folder: Path) -> str:
    """What ours takes more than TRL, by repetition: medians with a 90 % interval."""
    runs: list[Any] = []
    while all((folder / f"{who}-{len(runs)}.json").is_file() for who in ("ours", "plain")):
        runs.append([_figures(folder / f"{who}-{len(runs)}.json") for who in ("ours", "plain")])
    if len(runs) < 3:
        return ""
    parts = []
    for clock, name in enumerate(("seconds", "CPU seconds")):
        step = [100 * (ours[1][clock] / plain[1][clock] - 1) for ours, plain in runs]
        first = [ours[0][clock] - plain[0][clock] for ours, plain in runs]
        parts.append(f"by {name} a step takes {_between(step, '+.1f')} % more, and the first begins "
                     f"{_between(first, '+.2f')} later")  # fmt: skip
    return f"Over {len(runs)} repetitions, ours beside TRL (median, 90 % interval of it): {'; '.join(parts)}."


def _between(values: Sequence[float], shown: str, draws: int = 4000) -> str:
    """The median of a few values, with the bootstrap's 90 % interval of it."""
    import random

    draw = random.Random(0)
    middles = sorted(statistics.median(draw.choices(values, k=len(values))) for _ in range(draws))
    low, high = middles[draws // 20], middles[-draws // 20]
    middle = statistics.median(values)
    return f"{middle:{shown}} ({low:{shown}} to {high:{shown}})"
