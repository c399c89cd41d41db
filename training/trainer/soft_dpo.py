"""DPO with soft labels: the probability that a pair's chosen side is the better one reaches the loss.

prompt, chosen, rejected, p = 0.8 -> -(0.8 log sigmoid(z) + 0.2 log sigmoid(-z)), z = beta * difference

z is beta times how much more the model than its reference prefers chosen over rejected. p = 1 is DPO
(Rafailov et al. 2023); one p for all rows is conservative DPO (Mitchell 2023), which `label_smoothing` of
TRL does not give: it is ignored for the sigmoid loss. The optimum is z = log(p / (1 - p)).

Import this module only where training starts: TRL takes seconds.
"""

from dataclasses import dataclass
from typing import Any

import torch
from trl import DPOTrainer
from trl.trainer.dpo_trainer import DataCollatorForPreference

COLUMN = "p"


@dataclass
class SoftCollator(DataCollatorForPreference):
    """Collator of pairs that keeps their p."""

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """Collate a batch as TRL does, with p where the rows have it: float32, shape (pairs,)."""
        batch: dict[str, Any] = super().torch_call(examples)
        if COLUMN in examples[0]:
            batch[COLUMN] = torch.tensor([row[COLUMN] for row in examples], dtype=torch.float32)
        return batch


class SoftDPOTrainer(DPOTrainer):
    """TRL's trainer with the column p; label_smoothing e moves every p to p (1 - 2e) + e.

    It overrides two private methods of TRL (_compute_loss, _set_signature_columns_if_needed), so the version
    is pinned and tests compare with the stock trainer. ValueError for other losses or options.
    """

    data_collator: Any
    precompute_ref_logps: bool

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        plain = self.ld_alpha is None and self.f_divergence_type == "reverse_kl" and not self.use_weighting
        if not plain or "sigmoid" not in self.loss_types or not set(self.loss_types) <= {"sigmoid", "sft"}:
            raise ValueError("soft labels go with the loss sigmoid, and sft beside it, without weighting")
        of = self.data_collator
        self.data_collator = SoftCollator(
            of.pad_token_id, of.max_length, of.truncation_mode, of.pad_to_multiple_of
        )

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()
        if COLUMN not in self._signature_columns:
            self._signature_columns.append(COLUMN)

    def compute_ref_log_probs(self, model: Any, inputs: dict[str, Any]) -> Any:
        """Compute the reference's log-probabilities; p is not passed to the model."""
        return super().compute_ref_log_probs(model, {k: v for k, v in inputs.items() if k != COLUMN})

    def _compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool) -> Any:
        """Compute TRL's loss for p = 1 plus (1 - p) z, since -log sigmoid(-z) = -log sigmoid(z) + z."""
        inputs = dict(inputs)
        p = self._smoothed(inputs.pop(COLUMN, None), len(inputs["completion_mask"]) // 2)
        precomputed = self.precompute_ref_logps
        if not precomputed:  # once, and handed to TRL's loss as if computed before
            inputs["ref_chosen_logps"], inputs["ref_rejected_logps"] = self.compute_ref_log_probs(
                self.ref_model or self.model, inputs
            )
        policy: list[Any] = []

        def watched(**given: Any) -> Any:
            out = model(**given)
            policy.append(out.log_probs)
            return out

        self.precompute_ref_logps = True
        try:
            found = super()._compute_loss(watched, inputs, return_outputs)
        finally:
            self.precompute_ref_logps = precomputed
        z = self._margins(policy[0], inputs)
        more = self._weight() * ((1 - p.to(z.device)) * z).mean()
        return (found[0] + more, found[1]) if return_outputs else found + more

    def _margins(self, log_probs: Any, inputs: dict[str, Any]) -> Any:
        tokens = inputs["completion_mask"].size(1) - 1
        chosen, rejected = log_probs[:, -tokens:].sum(dim=1).chunk(2, dim=0)
        return self.beta * ((chosen - inputs["ref_chosen_logps"]) - (rejected - inputs["ref_rejected_logps"]))

    def _smoothed(self, p: Any, pairs: int) -> Any:
        p = torch.ones(pairs) if p is None else p
        return p * (1 - 2 * self.label_smoothing) + self.label_smoothing

    def _weight(self) -> float:
        """The weight of the sigmoid loss among the losses."""
        return float(
            sum(w for loss, w in zip(self.loss_types, self.loss_weights, strict=True) if loss == "sigmoid")
        )
