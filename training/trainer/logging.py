"""What training says where nobody watches a terminal: a line for each log, no bars.

step 10 of 18: loss 5.888, learning rate 0.005
step 12 of 18: held-out loss 5.71, held-out reward accuracy 0.62

On a terminal the bars of TRL and datasets stay as they are.
"""

import logging
import sys
import warnings
from collections.abc import Callable, Mapping
from typing import Any

TOLD = {
    "loss": "loss",
    "rewards/accuracies": "reward accuracy",
    "learning_rate": "learning rate",
    "eval_loss": "held-out loss",
    "eval_rewards/accuracies": "held-out reward accuracy",
}


def quiet() -> None:
    """Silence what the libraries say to no purpose, and where stderr is no terminal their bars."""
    from transformers.utils import logging as words

    warnings.filterwarnings(
        "ignore", ".*gradient_checkpointing. is deprecated", FutureWarning
    )  # TRL's, PEFT's
    checkpoints = logging.getLogger("transformers.trainer_utils")  # steps in order of number are what we want
    if _is_telling not in checkpoints.filters:
        checkpoints.addFilter(_is_telling)
    if not watched():
        import datasets

        datasets.disable_progress_bars()
        words.disable_progress_bar()


def watched() -> bool:
    """Whether somebody sees bars move."""
    return sys.stderr.isatty()


def _is_telling(record: logging.LogRecord) -> bool:
    return "mtime may not be reliable" not in record.getMessage()


def line(logs: Mapping[str, Any], step: int, steps: int) -> str | None:
    """A log of the trainer in one line; None for one that has none of the figures."""
    told = [f"{name} {float(logs[key]):.4g}" for key, name in TOLD.items() if logs.get(key) is not None]
    return f"step {step:,} of {steps:,}: {', '.join(told)}" if told else None


def lines_callback(say: Callable[[str], object]) -> Any:
    """A callback of transformers that says every log, of the first process, in one line."""
    from transformers import TrainerCallback

    class Callback(TrainerCallback):  # type: ignore[misc]
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **rest: Any) -> None:  # noqa: ARG002
            """Called with each log, of training and of evaluation."""
            if state.is_world_process_zero and (said := line(logs or {}, state.global_step, state.max_steps)):
                say(said)

    return Callback()
