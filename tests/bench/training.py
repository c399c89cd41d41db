"""Bench of training: `preceptor train` beside the same run by TRL's own script, from the same recipe.

    first step after 9.1 s (8.9 CPU s), a step 0.30 CPU s

Both are whole programs in a process of their own, with one thread of torch. The same hook notes the clocks
at every step; what lies between two steps (logging, callbacks, batches) counts as the earlier one's.
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

from .measure import LAST_WORDS, Done, Job, Work, peak_mb

PAIRS = 2000
STEPS = 24
_IN_TURN = 100
_WARM = 3  # steps that are not counted
_HIDDEN, _LAYERS = 256, 4
_WORDS = [
    "the",
    "pupil",
    "reads",
    "asks",
    "why",
    "this",
    "sum",
    "goes",
    "wrong",
    "and",
    "tries",
    "again",
    "with",
    "smaller",
    "numbers",
    "first",
    "then",
    "checks",
    "each",
    "part",
    "explains",
    "what",
    "was",
    "found",
]
_TEMPLATE = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>' + m['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
_HOOK = """
import json, os, time
import transformers
from transformers import TrainerCallback
begun, ended = [], []
turns = os.environ.get("BENCH_TURNS", "").split()
waits, passes = [os.open(path, os.O_RDWR) for path in turns] or (None, None)
def clocks():
    return time.time() - float(os.environ["BENCH_BEGAN"]), time.process_time()
class Clocks(TrainerCallback):
    def on_step_begin(self, *_, **__):
        if begun:
            ended.append(clocks())
            if passes is not None:
                os.write(passes, b"x")
        if waits is not None:
            os.read(waits, 1)
        begun.append(clocks())
    def on_train_end(self, *_, **__):
        ended.append(clocks())
        if passes is not None:
            os.write(passes, b"x")
        open(os.environ["BENCH_CLOCKS"], "w").write(json.dumps([begun, ended]))
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
        "model_name_or_path": str(folder / "model"),
        "dataset_name": str(folder / "data"),
        "dataset_config": "preference",
        "max_steps": STEPS,
        "per_device_train_batch_size": 2,
        "learning_rate": 1e-4,
        "max_length": 256,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "use_peft": True,
        "lora_target_modules": ["all-linear"],
        "env": {"preceptor": {"stage": "dpo"}},
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return f"{pairs:,} pairs, {STEPS} steps of 2"


def _model(folder: Path) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, set_seed

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    special = ["<|pad|>", "<|end|>", "<|user|>", "<|assistant|>"]
    raw.train_from_iterator(
        [" ".join(_WORDS)],
        trainers.BpeTrainer(
            vocab_size=1000,
            special_tokens=special,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="<|pad|>", eos_token="<|end|>")
    tokenizer.chat_template = _TEMPLATE
    set_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=_HIDDEN,
        intermediate_size=2 * _HIDDEN,
        num_hidden_layers=_LAYERS,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=None,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _dataset(folder: Path, pairs: int) -> None:
    import random

    import yaml
    from datasets import Dataset

    draw = random.Random(0)

    def said(role: str, words: int) -> list[dict[str, str]]:
        return [{"role": role, "content": " ".join(draw.choices(_WORDS, k=words))}]

    rows = [
        {"prompt": said("user", 60), "chosen": said("assistant", 40), "rejected": said("assistant", 40)}
        for _ in range(pairs)
    ]
    file = folder / "preference" / "train.parquet"
    file.parent.mkdir(parents=True)
    Dataset.from_list(rows).to_parquet(file)
    held = [
        {"config_name": "preference", "data_files": [{"split": "train", "path": "preference/train.parquet"}]}
    ]
    (folder / "README.md").write_text(f"---\n{yaml.safe_dump({'configs': held})}---\n", encoding="utf-8")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    manifest = {
        "recipe": {"name": "bench", "publish_under": None},
        "counts": {"preference": {"train": pairs}},
        "files": {"preference/train.parquet": digest},
        "gates": [],
        "licenses": [],
    }
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def train_ours(job: Job) -> Work:
    """`preceptor train`: the rows checked, trained on, and the model's folder written with its card."""
    return _program(job, "ours")


def train_plain(job: Job) -> Work:
    """TRL's own script (what `trl dpo` launches, without the launcher) and the weights saved."""
    return _program(job, "plain")


def _started(folder: Path, who: str, name: str, more: dict[str, str], steps: int) -> "subprocess.Popen[str]":
    """A side's program in a process of its own, which notes its clocks in the file of that name."""
    recipe, out = str(folder / "recipe.yaml"), str(folder / f"{name}-model")
    if who == "ours":
        arguments = [_OURS, "train", recipe, "--out", out, "--set", f"max_steps={steps}"]
    else:
        arguments = [_PLAIN, "--config", recipe, "--output_dir", out, "--max_steps", str(steps)]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(folder / who),
        "BENCH_CLOCKS": str(folder / f"{name}.json"),
        "BENCH_BEGAN": str(time.time()),
        **more,
    }
    return subprocess.Popen(
        [sys.executable, "-c", LAST_WORDS + arguments[0], *arguments[1:]],
        text=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment,
    )


def _program(job: Job, who: str) -> Work:
    name = f"{who}-{job.repetition}"

    def work() -> Done:
        process = _started(job.folder, who, name, {}, STEPS)
        said = process.communicate()[1]
        if process.returncode:
            raise RuntimeError(" ".join(said.split())[-300:])
        first, step = _first(job.folder, name), statistics.median(_steps(job.folder, name)[1])
        return Done(
            f"first step after {first[0]:.1f} s ({first[1]:.1f} CPU s), a step {step:.3f} CPU s",
            peak_mb(said, resource.RUSAGE_CHILDREN),
        )

    return work


def _first(folder: Path, name: str) -> list[float]:
    """Seconds and CPU seconds until the first step began."""
    begun = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))[0]
    return list(begun[0])


def _steps(folder: Path, name: str) -> tuple[list[float], list[float]]:
    """Seconds, and CPU seconds, of every step that counts."""
    begun, ended = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    both = [[e - b for b, e in zip(*one, strict=True)] for one in zip(begun, ended, strict=True)][_WARM:]
    return [took[0] for took in both], [took[1] for took in both]


def train_told(folder: Path) -> str:
    """What ours takes more than TRL: medians with a 90 % interval.

    The first step's delay is that of the repetitions. For the steps both programs run once more at the same
    time and take turns, a step each: what else the machine does meets both alike.
    """
    runs = sum(
        (folder / f"plain-{n}.json").is_file() and (folder / f"ours-{n}.json").is_file() for n in range(100)
    )
    if runs < 3:
        return ""
    first = [
        [a - b for a, b in zip(_first(folder, f"ours-{n}"), _first(folder, f"plain-{n}"), strict=True)]
        for n in range(runs)
    ]
    late = [_between(values, "+.2f") for values in zip(*first, strict=True)]
    told = (
        f"Ours beside TRL (median, 90 % interval of it): over {runs} repetitions the first step begins "
        f"{late[0]} seconds later, {late[1]} CPU seconds."
    )
    if not _in_turns(folder):
        return told
    in_turn = zip(_steps(folder, "ours-turn"), _steps(folder, "plain-turn"), strict=True)
    ratios = [[100 * (a / b - 1) for a, b in zip(ours, plain, strict=True)] for ours, plain in in_turn]
    more = [_between(values, "+.1f") for values in ratios]
    return (
        f"{told} Over {len(ratios[0])} steps in turn, a step of ours takes {more[0]} % more seconds, "
        f"{more[1]} % more CPU seconds."
    )


def _in_turns(folder: Path) -> bool:
    """Both programs at once, a step each in turn; whether they came to their end."""
    turns = [folder / "turn-ours", folder / "turn-plain"]
    for turn in turns:
        os.mkfifo(turn)
    held = [os.open(turn, os.O_RDWR) for turn in turns]
    os.write(held[0], b"x")
    both = [
        _started(folder, who, f"{who}-turn", {"BENCH_TURNS": " ".join(map(str, order))}, _IN_TURN)
        for who, order in (("ours", turns), ("plain", turns[::-1]))
    ]
    try:
        for process in both:
            process.communicate(timeout=600)
    except subprocess.TimeoutExpired:  # one has failed, and the other waits for it
        for process in both:
            process.kill()
    for end in held:
        os.close(end)
    return all(process.wait() == 0 for process in both)


def _between(values: Sequence[float], shown: str, draws: int = 4000) -> str:
    """The median of a few values, with the bootstrap's 90 % interval of it."""
    import random

    draw = random.Random(0)
    middles = sorted(statistics.median(draw.choices(values, k=len(values))) for _ in range(draws))
    low, high = middles[draws // 20], middles[-draws // 20]
    middle = statistics.median(values)
    return f"{middle:{shown}} ({low:{shown}} to {high:{shown}})"
