"""Soft labels in DPO: the same as TRL's own trainer where p is 1, the mixture elsewhere."""

import math

import pytest
from templated import sentences, templated_model

P = [1.0, 0.9, 0.6, 0.5]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return str(templated_model(tmp_path_factory.mktemp("soft") / "base"))


def trainer(base, folder, p=None, **settings):
    """A trainer of an adapter on four pairs, away from where it starts; with p a soft one."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from trl import DPOConfig, DPOTrainer

    from preceptor.training.trainer.soft_dpo import SoftDPOTrainer

    rows = sentences("preference", ["home", "out"])[:4]
    if p:
        rows = [row | {"p": one} for row, one in zip(rows, p, strict=True)]
    arguments = DPOConfig(
        output_dir=str(folder),
        per_device_train_batch_size=4,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        report_to="none",
        disable_tqdm=True,
        save_strategy="no",
        beta=0.5,
        logging_steps=1,
        **({"max_steps": 1, "learning_rate": 5e-3} | settings),
    )
    made = (SoftDPOTrainer if p else DPOTrainer)(
        model=base,
        args=arguments,
        train_dataset=Dataset.from_list(rows),
        peft_config=LoraConfig(r=8, target_modules="all-linear", task_type="CAUSAL_LM"),
    )
    noise = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weights in made.model.parameters():
            if weights.requires_grad:
                weights.add_(torch.randn(weights.shape, generator=noise) * 0.05)
    return made


def batch(of):
    from torch.utils.data import DataLoader

    return next(iter(DataLoader(of.train_dataset, batch_size=4, collate_fn=of.data_collator)))


def loss_and_gradient(of, inputs):
    import torch

    of.model.train()
    of.model.zero_grad()
    loss = of.compute_loss(of.model, inputs)
    loss.backward()
    return loss.item(), torch.cat([w.grad.flatten() for w in of.model.parameters() if w.grad is not None])


def turned(inputs):
    """The batch with chosen and rejected changed round."""
    import torch

    found = dict(inputs)
    for name in ("input_ids", "attention_mask", "completion_mask"):
        found[name] = torch.cat(inputs[name].chunk(2)[::-1])
    if "ref_chosen_logps" in inputs:
        found |= {
            "ref_chosen_logps": inputs["ref_rejected_logps"],
            "ref_rejected_logps": inputs["ref_chosen_logps"],
        }
    return found


def only(inputs, row):
    """One pair of a batch of four."""
    return {k: v[[row, row + 4]] if len(v) == 8 else v[row : row + 1] for k, v in inputs.items()}


@pytest.mark.parametrize("precomputed", [False, True])
def test_the_loss_and_its_gradient_are_the_mixture_of_both_orders(base, tmp_path, precomputed):
    import torch

    soft = trainer(base, tmp_path, P, precompute_ref_log_probs=precomputed)
    stock = trainer(base, tmp_path, precompute_ref_log_probs=precomputed)
    ours, theirs = batch(soft), batch(stock)
    assert ours["p"].tolist() == pytest.approx(P)
    certain, certain_gradient = loss_and_gradient(soft, {**ours, "p": torch.ones(4)})
    hard, hard_gradient = loss_and_gradient(stock, theirs)
    assert certain == hard
    assert torch.equal(certain_gradient, hard_gradient)
    assert abs(hard - math.log(2)) > 1e-3  # away from the start, where every p would give the same
    found, gradient = loss_and_gradient(soft, ours)
    expected, expected_gradient = 0.0, torch.zeros_like(gradient)
    for row, p in enumerate(P):
        pair = only(theirs, row)
        for weight, inputs in ((p, pair), (1 - p, turned(pair))):
            one, one_gradient = loss_and_gradient(stock, inputs)
            expected += weight * one / 4
            expected_gradient += weight * one_gradient / 4
    assert found == pytest.approx(expected, abs=1e-6)
    assert torch.allclose(gradient, expected_gradient, atol=1e-6)
    assert not torch.allclose(gradient, hard_gradient, atol=1e-3)


def test_margins_settle_at_the_log_odds_of_p(base, tmp_path):
    soft = trainer(base, tmp_path, [0.75] * 4, max_steps=60, learning_rate=2e-2)
    soft.train()
    margins = [row["rewards/margins"] for row in soft.state.log_history if "rewards/margins" in row]
    assert margins[-1] == pytest.approx(math.log(3), abs=0.05)


def test_smoothing_is_ignored_by_the_stock_loss_and_obeyed_by_ours(base, tmp_path):
    """Were TRL to heed it one day, this says so: then conservative DPO needs no stage of ours."""
    stock, smoothed = trainer(base, tmp_path), trainer(base, tmp_path, label_smoothing=0.3)
    inputs = batch(stock)
    plain = loss_and_gradient(stock, inputs)[0]
    assert loss_and_gradient(smoothed, inputs)[0] == plain
    other = loss_and_gradient(stock, turned(inputs))[0]
    conservative = trainer(base, tmp_path, [1.0] * 4, label_smoothing=0.3)
    assert loss_and_gradient(conservative, batch(conservative))[0] == pytest.approx(
        0.7 * plain + 0.3 * other, abs=1e-6
    )
    without_p = {k: v for k, v in batch(conservative).items() if k != "p"}
    assert loss_and_gradient(conservative, without_p)[0] == pytest.approx(0.7 * plain + 0.3 * other, abs=1e-6)
    robust = trainer(base, tmp_path, loss_type=["robust"], label_smoothing=0.3)
    assert loss_and_gradient(robust, inputs)[0] == pytest.approx((0.7 * plain - 0.3 * other) / 0.4, abs=1e-5)


def test_the_weight_of_the_sigmoid_loss_is_that_of_soft_labels(base, tmp_path):
    losses = {"loss_type": ["sigmoid", "sft"], "loss_weights": [2.0, 0.5]}
    soft, stock = trainer(base, tmp_path, [0.6] * 4, **losses), trainer(base, tmp_path, **losses)
    only_sft = trainer(base, tmp_path, loss_type=["sft"])
    inputs = batch(stock)
    sft = loss_and_gradient(only_sft, inputs)[0]
    plain = trainer(base, tmp_path)
    one, other = (loss_and_gradient(plain, given)[0] for given in (inputs, turned(inputs)))
    expected = 2 * (0.6 * one + 0.4 * other) + 0.5 * sft
    assert loss_and_gradient(soft, batch(soft))[0] == pytest.approx(expected, abs=1e-5)
    with pytest.raises(ValueError, match="soft labels go with the loss sigmoid"):
        trainer(base, tmp_path, P, loss_type=["ipo"])
