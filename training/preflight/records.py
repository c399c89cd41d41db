"""What preflight is told and what it says: `Settings`, `Report`, and the report as a table for the screen.

split     rows   kept  dropped  truncated   tokens  loss tokens  median  95 %  longest
train      812    809        3         14   61,204  19,480 (32 %)    71   160      256
REFUSED dead_pairs (train): 2 pairs whose two completions are the same ... rows 17, 401
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from ...schemas.errors import RecipeError
from ...schemas.support.nearest import find_nearest

ALLOWABLE = ("dead_pairs", "empty_completions", "one_label")


@dataclass(frozen=True)
class Settings:
    """What bears on rows and memory, under TRL's own names and with its defaults (1.16).

    Of ours: `num_processes` (GPUs that share the batches; accelerate's name) and `allow`, refusals that are
    to be warnings, of `ALLOWABLE`. `model_name_or_path` holds the config.json of the size estimate.
    """

    max_length: int | None = 1024
    truncation_mode: str = "keep_start"
    packing: bool = False
    packing_strategy: str = "bfd"
    eval_packing: bool | None = None
    completion_only_loss: bool | None = None
    assistant_only_loss: bool = False
    dataset_text_field: str = "text"
    chat_template_path: str | None = None
    pad_token: str | None = None
    eos_token: str | None = None
    per_device_train_batch_size: int = 8
    gradient_accumulation_steps: int = 1
    num_train_epochs: float = 3.0
    max_steps: int = -1
    dataloader_drop_last: bool = False
    num_processes: int = 1
    loss_type: str | tuple[str, ...] | None = None
    precompute_ref_log_probs: bool = False
    gradient_checkpointing: bool = True
    bf16: bool = True
    fp16: bool = False
    optim: str = "adamw_torch_fused"
    model_name_or_path: str | None = None
    model_revision: str | None = None
    trust_remote_code: bool = False
    dtype: str = "float32"
    use_peft: bool = False
    lora_r: int = 16
    lora_target_modules: tuple[str, ...] | str | None = None
    lora_modules_to_save: tuple[str, ...] | None = None
    load_in_4bit: bool = False
    load_in_8bit: bool = False
    use_bnb_nested_quant: bool = False
    allow: tuple[str, ...] = ()


def settings_from(values: Mapping[str, Any]) -> Settings:
    """The settings among the keys of a trainer's config; its other keys are passed by."""
    known = {field.name for field in fields(Settings)}
    if values.get("activation_checkpointing") is not None:  # the new name, which transformers goes by
        values = {**values, "gradient_checkpointing": values["activation_checkpointing"]}
    given: dict[str, Any] = {
        n: tuple(v) if isinstance(v, list) else v for n, v in values.items() if n in known
    }
    if isinstance(given.get("allow"), str):
        given["allow"] = (given["allow"],)
    return Settings(**given)


@dataclass(frozen=True)
class Defect:
    """One kind of defect in one split: how many rows, the first three, what it means and what to do."""

    kind: str
    split: str
    count: int
    rows: tuple[str, ...]
    text: str
    refused: bool


@dataclass(frozen=True)
class Split:
    """What becomes of a split's rows in TRL; tokens are of kept rows, after truncation, in one epoch.

    `rows` are the trainer's (a pair is two rows of KTO), `sequences` what a batch is made of (packed ones
    where it packs). `median`, `p95` and `longest` are lengths of sequences in tokens before packing, after
    truncation; `whole` is the longest before truncation.
    """

    name: str
    rows: int
    kept: int = 0
    dropped: int = 0
    truncated: int = 0
    tokens_lost: int = 0
    tokens: int = 0
    loss_tokens: int = 0
    sequences: int = 0
    median: int = 0
    p95: int = 0
    longest: int = 0
    whole: int = 0


@dataclass(frozen=True)
class Size:
    """Parameters and bytes of GPU memory per process; see `size.py` for the formula and its error."""

    parameters: int
    trainable: int
    weights: int
    reference: int
    gradients: int
    optimizer: int
    activations: int
    overhead: int

    @property
    def total(self) -> int:
        """Bytes in all."""
        parts = (self.weights, self.reference, self.gradients, self.optimizer)
        return sum(parts) + self.activations + self.overhead


@dataclass(frozen=True)
class Report:
    """All that preflight found; `steps` are the optimizer's, `tokens` the whole run's, `seconds` its own."""

    stage: str
    splits: tuple[Split, ...]
    defects: tuple[Defect, ...]
    steps_per_epoch: int
    steps: int
    tokens: int
    size: Size | None
    no_size: str | None
    seconds: float

    @property
    def refusals(self) -> tuple[Defect, ...]:
        """Defects that training must not begin with."""
        return tuple(d for d in self.defects if d.refused)

    @property
    def warnings(self) -> tuple[Defect, ...]:
        """Defects to know of."""
        return tuple(d for d in self.defects if not d.refused)


def report_json(report: Report) -> dict[str, Any]:
    """The report as preceptor.json keeps it."""
    data = {field.name: getattr(report, field.name) for field in fields(Report)}
    data["splits"] = [asdict(split) for split in report.splits]
    data["size"] = report.size and {**asdict(report.size), "total": report.size.total}
    data["refusals"] = [asdict(d) for d in report.refusals]
    data["warnings"] = [asdict(d) for d in report.warnings]
    del data["defects"]
    return data


def report_table(report: Report) -> str:
    """The report as lines for the screen."""
    head = (
        "split",
        "rows",
        "kept",
        "dropped",
        "truncated",
        "tokens",
        "loss tokens",
        "median",
        "95 %",
        "longest",
    )
    body = [
        (
            s.name,
            *(f"{n:,}" for n in (s.rows, s.kept, s.dropped, s.truncated, s.tokens)),
            f"{s.loss_tokens:,} ({s.loss_tokens / max(s.tokens, 1):.0%})",
            *(f"{n:,}" for n in (s.median, s.p95, s.longest)),
        )
        for s in report.splits
    ]
    wide = [max(len(row[i]) for row in [head, *body]) for i in range(len(head))]
    lines = [
        "  ".join(
            cell.rjust(w) if i else cell.ljust(w) for i, (cell, w) in enumerate(zip(row, wide, strict=True))
        )
        for row in [head, *body]
    ]
    lines += [_line(d, "REFUSED") for d in report.refusals] + [_line(d, "warning") for d in report.warnings]
    if report.steps:
        an_epoch = f"{report.steps_per_epoch:,} an epoch"
        lines.append(
            f"{report.steps:,} steps ({an_epoch}), {report.tokens:,} tokens in all; "
            f"looked at in {report.seconds:.0f} s"
        )
    return "\n".join([*lines, _memory(report)])


def _line(defect: Defect, word: str) -> str:
    more = " ..." if defect.count > len(defect.rows) else ""
    rows = f" [row{'s' if defect.count > 1 else ''} {', '.join(defect.rows)}{more}]"
    split = f" ({defect.split})" if defect.split else ""
    return f"{word} {defect.kind}{split}: {defect.text}{rows if defect.rows else ''}"


def _memory(report: Report) -> str:
    size = report.size
    if size is None:
        return f"no estimate of memory: {report.no_size}"
    parts = ("weights", "reference", "gradients", "optimizer", "activations", "overhead")
    shown = ", ".join(f"{n} {_gib(getattr(size, n))}" for n in parts if getattr(size, n))
    return (
        f"about {_gib(size.total)} GiB of GPU memory a process, if nothing is sharded ({shown}); "
        f"{size.trainable:,} of {size.parameters:,} parameters are trained"
    )


def _gib(n: int) -> str:
    return f"{n / 2**30:.1f}" if n >= 2**30 // 10 else f"{n / 2**30:.3f}"


def one_of(what: str, name: str, known: tuple[str, ...]) -> None:
    """Raise RecipeError where `name` is not among `known`, with the nearest that is."""
    if name not in known:
        near = find_nearest(name, known)
        meant = f"; did you mean {near}?" if near else ""
        raise RecipeError(f"{what}: {name!r} is not one of {', '.join(known)}{meant}")
