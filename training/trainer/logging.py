"""Show a line for each log of the trainer instead of progress bars without a terminal.

step 10 of 18: loss 5.888, learning rate 0.005
step 12 of 18: held-out loss 5.71, held-out reward accuracy 0.62

On a terminal the bars of TRL and datasets are unchanged.
"""

import logging
import sys
import warnings
from collections.abc import Callable, Mapping
from typing import Any


def hide_library_messages() -> None:
    """Hide needless warnings of the libraries, and their progress bars if stderr is no terminal."""
    from transformers.utils import logging as words

    warnings.filterwarnings(
        "ignore", ".*gradient_checkpointing. is deprecated", FutureWarning
    )  # TRL's, PEFT's
    checkpoints = logging.getLogger("transformers.trainer_utils")  # sorting checkpoints by step is intended
    if _is_needed not in checkpoints.filters:
        checkpoints.addFilter(_is_needed)
    if not is_watched():
        import datasets

        datasets.disable_progress_bars()
        words.disable_progress_bar()


def is_watched() -> bool:
    """True if stderr is a terminal, which shows progress bars."""
    return sys.stderr.isatty()


def _is_needed(record: logging.LogRecord) -> bool:
    return "mtime may not be reliable" not in record.getMessage()


def format_log(logs: Mapping[str, Any], words: Mapping[str, str], step: int, steps: int) -> str | None:
    """Format a log of the trainer as one line; None for a log without any of the figures.

    `words` has the figures to show, "eval_" left out, and the words for them.
    """
    shown = {
        **words,
        "learning_rate": "learning rate",
        **{f"eval_{key}": f"held-out {name}" for key, name in words.items()},
    }
    parts = [f"{name} {float(logs[key]):.4g}" for key, name in shown.items() if logs.get(key) is not None]
    return f"step {step:,} of {steps:,}: {', '.join(parts)}" if parts else None


def make_lines_callback(say: Callable[[str], object], words: Mapping[str, str]) -> Any:
    """Make a callback of transformers that calls `say` with a line for every log of the first process.

    `words` has the figures to show and the words for them.
    """
    from transformers import TrainerCallback

    class LinesCallback(TrainerCallback):  # type: ignore[misc]
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **rest: Any) -> None:  # noqa: ARG002
            """Show a log of training or evaluation."""
            line = format_log(logs or {}, words, state.global_step, state.max_steps)
            if line and state.is_world_process_zero:
                say(line)

    return LinesCallback()
