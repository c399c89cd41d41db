"""Names of figures that trainers of TRL (1.16) log, shared by the stages."""

ALWAYS = ("loss", "entropy", "num_tokens", "aux_loss", "runtime", "samples_per_second", "steps_per_second")
"""For every stage; aux_loss is logged for mixtures of experts."""
SIDES = tuple(f"{what}/{side}" for what in ("rewards", "logps", "logits") for side in ("chosen", "rejected"))

LOSS_WORDS = {"loss": "loss"}
ACCURACY_WORDS = LOSS_WORDS | {"rewards/accuracies": "reward accuracy"}

LOSS_CURVE = ("loss", ("loss", "eval_loss"))
ACCURACY_CURVE = ("reward accuracy", ("rewards/accuracies", "eval_rewards/accuracies"))
SIDES_CURVE = (
    "log-probability of completions",
    ("logps/chosen", "logps/rejected", "eval_logps/chosen", "eval_logps/rejected"),
)

LOSS_CARD = ("eval_loss", "eval_mean_token_accuracy")
_MORE = ("rewards/margins", "rewards/accuracies")
_COMPARED = (*(name for name in SIDES if not name.startswith("logits")), *_MORE)
SIDES_CARD = (*LOSS_CARD, *_COMPARED, *(f"eval_{name}" for name in _COMPARED))
