"""Estimate GPU memory of a training run from config.json alone.

{"hidden_size": 576, …} -> MemoryEstimate(parameters=…, …)

Parameters are exact for what transformers builds (on the device "meta", without weights), so are those of
LoRA, r·(in + out) for each matrix it is put on. For one process that shares nothing (ZeRO and FSDP divide
weights, gradients and optimizer by the number of processes), in bytes:

    weights      parameters × 4 (float32), 2 (bfloat16, float16); in 4 bits 0.5 + 4/64 a parameter of the
                 linear layers (0.5 + 1/64 + 4/16384 nested), in 8 bits 1; embeddings, head and norms stay in
                 2 or 4; an adapter has 4 (float32: PEFT's choice), or 2 on a quantized model (TRL's)
    reference    the weights once more for dpo, ipo, soft-dpo and kto, but not with LoRA (which is switched
                 off for it) and not where its log-probabilities are computed beforehand
    gradients    as many bytes as the trained weights
    optimizer    two states of AdamW as wide as the trained weights; 2 bytes in 8 bits; one state of RMSprop,
                 Lion and Adagrad; none of SGD; a hundredth of one for Adafactor
    activations  T tokens in a forward pass that keeps gradients (rows, twice for pairs, × longest, to a
                 multiple of 128), a bytes (2 in mixed or half precision, 4 else), w bytes of a weight: per
                 layer T·a·(10 hidden + 3 key-value + 4 intermediate), and in mixed precision T·8·hidden and
                 2 for each of its weights, which autocast copies; with gradient checkpointing T·w·hidden per
                 layer, and one layer in full
    overhead     2**30: the CUDA context, its libraries' work space, tiles of the head (TRL does not make
                 logits of all the vocabulary at once)

The first four are arithmetic, right to the per cent. Activations were held against what autograd keeps of
small Llamas on a CPU: within 5 % in bfloat16, 10 % in mixed precision, a third too many for LoRA in float32.
They may be wrong by a half for other models: attention "eager" adds heads × T × longest × a per layer,
mixtures of experts differ. Fragmentation adds 5 to 20 % to all. Nothing was measured on a GPU: leave a fifth
free.
"""

import re
from pathlib import Path
from typing import Any

from ...schemas.errors import RecipeError
from ...schemas.support.nearest import find_nearest
from ..stages.registry import STAGES
from ..stages.settings import PreflightSettings, choose_targets
from ..stages.stage import Stage
from .records import MemoryEstimate

_WIDTH = {"float32": 4, "bfloat16": 2, "float16": 2}
_PAD_TO = 128  # what TRL's "auto" pads to on a GPU
_OVERHEAD = 2**30


def estimate_size(where: str | Path, stage: str, settings: PreflightSettings, longest: int) -> MemoryEstimate:
    """Estimate GPU memory per process, in bytes, for a model's folder or name on the Hub.

    `longest` is the length of the longest sequence after truncation, in tokens. RecipeError if LoRA finds
    no layer; OSError and ValueError of transformers where the config cannot be read.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(
        where, revision=settings.model_revision or "main", trust_remote_code=settings.trust_remote_code
    )
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, trust_remote_code=settings.trust_remote_code)
    text = config.get_text_config()
    total = sum(p.numel() for p in model.parameters())
    quantized = settings.load_in_4bit or settings.load_in_8bit
    own = getattr(text, "dtype", None) or getattr(config, "dtype", None)
    dtype = str(own or "float32").removeprefix("torch.") if settings.dtype == "auto" else settings.dtype
    width = _WIDTH.get(dtype, 4)
    added, saved = _adapter(model, text.model_type, settings) if settings.use_peft else (0, 0)
    trained = added + saved if settings.use_peft else total
    wide = (2 if quantized else 4) if settings.use_peft else width
    base = int(_weights(model, total, width, settings))
    extra = trained * wide if settings.use_peft else 0
    shares = not STAGES[stage].reference or settings.use_peft or settings.precompute_ref_log_probs
    return MemoryEstimate(
        parameters=total + added,
        trainable=trained,
        weights=base + extra,
        reference=0 if shares else base,
        gradients=trained * wide,
        optimizer=int(trained * _states(settings.optim, wide)),
        activations=_activations(model, text, STAGES[stage], settings, width, longest),
        overhead=_OVERHEAD,
    )


def _matrices(model: Any) -> dict[str, Any]:
    """Weights of the linear layers by name, without the output embeddings."""
    head = model.get_output_embeddings()
    return {
        name: module.weight
        for name, module in model.named_modules()
        if type(module).__name__ in ("Linear", "Conv1D") and module is not head
    }


def _weights(model: Any, total: int, width: int, settings: PreflightSettings) -> float:
    if not (settings.load_in_4bit or settings.load_in_8bit):
        return float(total * width)
    linear = float(sum(weight.numel() for weight in _matrices(model).values()))
    scales = 1 / 64 + 4 / 16384 if settings.use_bnb_nested_quant else 4 / 64
    return linear * (0.5 + scales if settings.load_in_4bit else 1.0) + (total - linear) * width


def _adapter(model: Any, kind: str, settings: PreflightSettings) -> tuple[int, int]:
    """Numbers of parameters: of LoRA, and of the layers that are trained whole beside it."""
    matrices, read = _matrices(model), choose_targets(settings.lora_target_modules)
    targets = tuple(read) if isinstance(read, list) else read
    if targets is None:
        from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as KNOWN

        targets = tuple(KNOWN.get(kind, ()))
        if not targets:
            raise RecipeError(f"lora_target_modules: PEFT knows none for {kind}; name them, or all-linear")
    head = [name for name, module in model.named_modules() if module is model.get_output_embeddings()]
    if targets != "all-linear" and any(_is_target(name, targets) for name in head):
        raise RecipeError(
            f"lora_target_modules: the head ({head[0]}) cannot have LoRA, as TRL computes the loss from its "
            "weights directly; leave it out, or train it whole (lora_modules_to_save)"
        )
    chosen = {name for name in matrices if _is_target(name, targets)}
    ends = sorted({name.rpartition(".")[2] for name in matrices})
    for target in () if isinstance(targets, str) else targets:
        if not any(_is_target(name, (target,)) for name in [*matrices, *dict(model.named_modules())]):
            near = find_nearest(target, ends)
            meant = f"did you mean {near}? " if near else ""
            raise RecipeError(
                f"lora_target_modules: no layer {target!r}; {meant}This model has {', '.join(ends)}"
            )
    if not chosen:
        raise RecipeError(
            f"lora_target_modules: {targets!r} is no linear layer; this model has {', '.join(ends)}"
        )
    whole = settings.lora_modules_to_save or ()
    for name in whole:
        if not any(_is_target(known, (name,)) for known in dict(model.named_modules())):
            parts = sorted({known.rpartition(".")[2] for known in dict(model.named_modules())} - {""})
            near = find_nearest(name, parts)
            meant = f"; did you mean {near}?" if near else f": this model has {', '.join(parts)}"
            raise RecipeError(f"lora_modules_to_save: no layer {name!r}{meant}")
    saved = sum(
        sum(p.numel() for p in m.parameters()) for name, m in model.named_modules() if _is_target(name, whole)
    )
    return sum(settings.lora_r * sum(matrices[name].shape) for name in chosen), saved


def _is_target(name: str, targets: tuple[str, ...] | str) -> bool:
    """True if PEFT puts LoRA on a layer; `targets`: a pattern for the whole name, or last parts of names."""
    if isinstance(targets, str):
        return targets == "all-linear" or re.fullmatch(targets, name) is not None
    return any(name == target or name.endswith(f".{target}") for target in targets)


def _states(optim: str, wide: int) -> float:
    """Bytes of the optimizer's states for each trained parameter."""
    if optim.startswith("sgd"):
        return 0
    if "adafactor" in optim:
        return wide / 100
    states = 1 if optim.startswith(("rmsprop", "lion", "adagrad")) else 2
    return states * (1 if "8bit" in optim else wide)


def _activations(
    model: Any, text: Any, stage: Stage, settings: PreflightSettings, width: int, longest: int
) -> int:
    hidden, layers = text.hidden_size, text.num_hidden_layers
    heads = text.num_attention_heads
    head = getattr(text, "head_dim", None) or hidden // heads
    values = (getattr(text, "num_key_value_heads", None) or heads) * head
    wide = getattr(text, "intermediate_size", None) or 4 * hidden
    sequences = settings.per_device_train_batch_size * stage.sequences
    tokens = sequences * -(-longest // _PAD_TO) * _PAD_TO
    half = settings.bf16 or settings.fp16
    layer = tokens * (2 if half else width) * (10 * hidden + 3 * values + 4 * wide)
    if half and width == 4:
        layer += tokens * 8 * hidden + 2 * sum(w.numel() for w in _matrices(model).values()) // layers
    return int(
        layers * tokens * width * hidden + layer if settings.gradient_checkpointing else layers * layer
    )
