"""Watch the log-probability of chosen completions during a run, and warn when it falls too far.

{"logps/chosen": -41.0, "rewards/chosen": -1.8, "rewards/accuracies": 1.0} with beta 0.1
-> reference -41 + 18 = -23, a fall of 18 / 23 = 0.78

A reward is beta times (log-probability minus the reference's). The reference's own is thus known at every
step, and the fall does not depend on the lengths of a batch's completions.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Any

SHORT = 3  # number of logs that fall and accuracy are averaged over


@dataclass
class Watch:
    """Falls and accuracies of a run; `bound` is the share of log-probability that may be lost."""

    bound: float
    falls: deque[float] = field(default_factory=lambda: deque(maxlen=SHORT))
    accuracies: deque[float] = field(default_factory=lambda: deque(maxlen=SHORT))
    first: float | None = None
    warnings: list[str] = field(default_factory=list)
    worst: float = 0.0

    def see(self, logs: dict[str, Any], beta: float, step: int) -> str | None:
        """Read a log of the trainer; return a warning the first time that the bound is passed, else None."""
        at = "eval_" if "eval_logps/chosen" in logs else ""
        names = [f"{at}logps/chosen", f"{at}rewards/chosen"]
        if not all(name in logs for name in names) or beta <= 0:
            return None
        now, reward = (float(logs[name]) for name in names)
        above = reward / beta
        reference = now - above
        self.falls.append(-above / abs(reference) if reference else 0.0)
        accuracy = float(logs.get(f"{at}rewards/accuracies", logs.get(f"{at}rewards/margins", 0.0)))
        self.accuracies.append(accuracy)
        self.first = accuracy if self.first is None else self.first
        fall = sum(self.falls) / len(self.falls)
        self.worst = max(self.worst, fall)
        rises = sum(self.accuracies) / len(self.accuracies) >= self.first
        if fall <= self.bound or not rises or self.warnings:
            return None
        said = (
            f"step {step}: chosen completions have lost {fall:.0%} of their log-probability, as the mean of "
            f"{len(self.falls)} logs (now {now:.1f}, reference {reference:.1f}; bound {self.bound:.0%}), "
            "while rewards get better: the model may be unlearning to write. Add the loss sft (loss_type: "
            "[sigmoid, sft]), lower learning_rate or raise beta, and look at a task metric"
        )
        self.warnings.append(said)
        return said


def make_watch_callback(watch: Watch) -> Any:
    """Make a callback of transformers that passes every log to a watch and logs its warning."""
    import logging

    from transformers import TrainerCallback

    class WatchCallback(TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:  # noqa: ARG002
            """Read the logs of an earlier part of the run."""
            for row in state.log_history:
                watch.see(row, getattr(args, "beta", 0.0), row.get("step", 0))

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **rest: Any) -> None:  # noqa: ARG002
            """Read a log of training or evaluation."""
            beta = getattr(args, "beta", 0.0)
            if (said := watch.see(logs or {}, beta, state.global_step)) and state.is_world_process_zero:
                logging.getLogger("preceptor").warning(said)

    return WatchCallback()
