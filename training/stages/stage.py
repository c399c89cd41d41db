"""Describe a stage of training in one record.

Stage("dpo", "trl.trainer.dpo_trainer:DPOTrainer", …).load_trainer() -> the class, with TRL imported
"""

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from ...schemas.support.nearest import suggest
from .settings import PreflightSettings

if TYPE_CHECKING:  # slow to import, and the command line lists the stages
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray


class UsedColumns(NamedTuple):
    """The columns that a trainer reads: the prompt (None for whole texts), the answers, and others."""

    prompt: str | None
    answers: tuple[str, ...]
    others: tuple[str, ...] = ()


class Clash(NamedTuple):
    """Columns that make a trainer fail or change its behaviour, and the effect."""

    columns: frozenset[str]
    effect: str


@dataclass(frozen=True)
class StageFigures:
    """The figures of a stage's trainer, under the names of its logs without "eval_"."""

    known: tuple[str, ...]
    """All that it has for held-out rows: what metric_for_best_model may name."""
    logged: Mapping[str, str]
    """Those of the log's lines and of the last message, with the words for them."""
    curves: tuple[tuple[str, tuple[str, ...]], ...]
    """Panels of curves.png: a title and the keys of the log, "eval_" included."""
    card: tuple[str, ...]
    """Keys of the log, "eval_" included, for the model card."""


def use_pairs(_have: Set[str], _settings: PreflightSettings) -> UsedColumns:
    """Read prompt, chosen and rejected."""
    return UsedColumns("prompt", ("chosen", "rejected"))


def find_no_fault(_values: Mapping[str, Any]) -> str | None:
    """Accept every recipe."""
    return None


def find_no_bad_rows(_rows: Any) -> str | None:
    """Accept all rows."""
    return None


def find_unknown(key: str, given: Sequence[str], known: Sequence[str]) -> str | None:
    """Describe a value of a key that the trainer does not know; return None if it knows them all."""
    for name in given:
        if name not in known:
            return f"'{key}': the trainer knows no '{name}': {suggest(name, known, 'it knows')}"
    return None


def refuse_reference_sync(arguments: Any, model: Any) -> Iterator[str]:
    """Refuse a reference model that is to follow the trained one where there is none of its own."""
    if arguments.sync_ref_model and (model.use_peft or arguments.precompute_ref_log_probs):
        without = "use_peft" if model.use_peft else "precompute_ref_log_probs"
        yield f"sync_ref_model does not go with {without}, which keeps no reference model: take one out"


def refuse_arguments_of_all(arguments: Any) -> Iterator[str]:
    """Refuse what the trainers of all stages raise for."""
    if (arguments.liger_kernel_config or {}).get("fused_linear_cross_entropy"):
        yield "liger_kernel_config: TRL's trainers refuse fused_linear_cross_entropy: take it out"
    if arguments.fsdp and arguments.world_size == 1:
        yield "fsdp goes with several processes: --launch fsdp --processes 2, or take it out"


def refuse_no_arguments(_arguments: Any, _model: Any) -> Iterator[str]:
    """Accept all values."""
    return iter(())


def refuse_no_settings(_settings: PreflightSettings) -> Iterator[str]:
    """Accept all settings."""
    return iter(())


def find_no_clashes(
    _used: UsedColumns, _conversational: bool, _others: Set[str], _settings: PreflightSettings
) -> Iterator[Clash]:
    """Accept all further columns."""
    return iter(())


def mark_no_rows(_batch: "pa.Table") -> "dict[str, NDArray[np.bool_]]":
    """Mark no row with a defect; masks have the shape (rows,)."""
    return {}


@dataclass(frozen=True)
class Stage:
    """A stage of training: its trainer, what it reads, and what must be checked before it runs."""

    name: str
    trainer: str
    """module:class, imported when training starts (TRL takes seconds)."""
    config: str
    """module:class of the trainer's config, a dataclass. Its source is read without importing it."""
    dataset_config: str
    """The config of a built dataset that it reads, where the recipe names none."""
    columns: tuple[str, ...]
    """Those of the rows handed to the trainer."""
    figures: StageFigures
    own: tuple[str, ...] = ()
    """Those of `columns` that are no texts, such as p."""
    label: str | None = None
    """The column of true and false answers; pairs then become two rows each."""
    instead_of_own: str | None = None
    """The stage that rows without `own` are checked as, where label_smoothing gives all rows one value."""
    hints: Mapping[str, str] = field(default_factory=dict)
    """Columns that it ignores, and what to say of them."""
    reserved: frozenset[str] = frozenset()
    """Column names that the trainer uses itself."""
    reserved_effect: str = "TRL takes it for its own"
    honours: frozenset[str] = frozenset()
    """Settings that this trainer follows and others do not."""
    sequences: int = 2
    """Sequences in a forward pass for each row: 2 for pairs."""
    reference: bool = True
    """True if the loss compares with the model before training."""
    drops_without_loss: bool = False
    """True if TRL drops rows without a token that bears the loss; else rows whose prompt fills max_length."""
    settles: Mapping[str, Any] = field(default_factory=dict)
    """Values of the trainer's config that the stage itself fixes."""
    find_fault: Callable[[Mapping[str, Any]], str | None] = find_no_fault
    """Values of a recipe that contradict the stage."""
    find_bad_rows: Callable[[Any], str | None] = find_no_bad_rows
    """Errors in the values of rows (a datasets.Dataset with `columns`)."""
    refuse_settings: Callable[[PreflightSettings], Iterator[str]] = refuse_no_settings
    """Settings that TRL raises for, some only once the weights are loaded."""
    refuse_arguments: Callable[[Any, Any], Iterator[str]] = refuse_no_arguments
    """Values of the trainer's config (and TRL's ModelConfig) that it raises for only once it runs."""
    use_columns: Callable[[Set[str], PreflightSettings], UsedColumns] = use_pairs
    """The columns that the trainer reads, given all column names."""
    find_clashes: Callable[[UsedColumns, bool, Set[str], PreflightSettings], Iterator[Clash]] = (
        find_no_clashes
    )
    """Further columns that disturb the trainer; the flag says whether rows are dialogues."""
    mark_rows: "Callable[[pa.Table], dict[str, NDArray[np.bool_]]]" = mark_no_rows
    """Kinds of defects in a batch without nulls, each with a mask of shape (rows,)."""

    @property
    def config_name(self) -> str:
        """The class name of the trainer's config."""
        return self.config.partition(":")[2]

    def load_trainer(self) -> Any:
        """Import the trainer's class."""
        return _load(self.trainer)

    def load_config(self) -> Any:
        """Import the class of the trainer's config."""
        return _load(self.config)


def _load(named: str) -> Any:
    module, _, name = named.partition(":")
    return getattr(import_module(module), name)
