"""Check values of the trainer's own settings, and the packages that they need, before weights are loaded.

optim: adamw_8bit, bitsandbytes not installed -> REFUSED packages: 'optim': … pip install bitsandbytes; or …

What TRL and transformers check when their configs are made is left to them (`make_arguments`); here is what
they find out only after loading weights, or not before the first step.
"""

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ...schemas.errors import TrainingError
from ..config import TrainingConfig
from ..launch import count_processes
from ..stages.registry import STAGES
from ..stages.settings import choose_targets
from ..stages.stage import refuse_arguments_of_all
from ..trainer.logging import is_watched
from ..trainer.trust import refuse_to_ask
from .checks import refuse
from .records import Defect

# Packages for the values of report_to, any one of which is enough, where they are not of the value's name.
_REPORTS = {
    "tensorboard": ("tensorboard", "tensorboardX"),
    "azure_ml": ("azureml-core",),
    "comet_ml": ("comet-ml",),
    "flyte": ("flytekit",),
    "dagshub": ("dagshub", "mlflow"),
}
_PLAIN_OPTIMIZERS = ("adamw_torch", "adamw_torch_fused", "adafactor", "sgd", "adagrad", "rmsprop")


def make_arguments(config: TrainingConfig, checkpoints: Path) -> tuple[Any, Any]:
    """Make the trainer's config and TRL's ModelConfig, with other defaults without a GPU.

    TrainingError for values that they refuse.
    """
    import torch
    import trl

    made: dict[str, Any] = {**config.trainer_values, "output_dir": str(checkpoints)}
    if made.get("use_cpu") or not torch.accelerator.is_available():
        made = {"use_cpu": True, "bf16": False, "gradient_checkpointing": False, **made}
    if not is_watched():
        made = {"disable_tqdm": True, **made}
    refuse_to_ask()
    try:
        arguments = STAGES[config.stage].load_config()(**made)
        model = trl.ModelConfig(**config.select_values("ModelConfig"))
    except Exception as error:  # they raise of every kind: a missing package, an unknown value, a wrong type
        raise TrainingError(
            f"{config.path}: {_shorten(error)}; change the recipe, or give another value with --set KEY=VALUE"
        ) from error
    model.lora_target_modules = choose_targets(config.values.get("lora_target_modules"))
    arguments.model_init_kwargs = {
        "revision": model.model_revision,
        "attn_implementation": model.attn_implementation,
        "dtype": model.dtype,
        **(
            {"device_map": None} if count_processes() > 1 else {}
        ),  # TRL's "auto" under FSDP is for one process
        **(arguments.model_init_kwargs or {}),
    }
    return arguments, model


def check_trainer(config: TrainingConfig, arguments: Any, model: Any) -> list[Defect]:
    """Check what the trainer of a recipe would raise for, whatever the rows are.

    `arguments` and `model` are those of `make_arguments`.
    """
    texts = [*refuse_arguments_of_all(arguments), *STAGES[config.stage].refuse_arguments(arguments, model)]
    found = [refuse("settings", text) for text in texts]
    needs = [*_find_lacking(config, arguments, model)]
    found += [refuse("packages", text) for text in needs]
    found += _note_best(arguments)
    if not needs:
        found += [refuse("settings", text) for text in _try_parts(arguments, model)]
    return found


def _note_best(arguments: Any) -> Iterator[Defect]:
    """Warn of a best checkpoint that is chosen by who wins pairs, which says nothing of what is written."""
    named = str(arguments.metric_for_best_model or "").removeprefix("eval_")
    if arguments.load_best_model_at_end and named in ("rewards/accuracies", "rewards/margins"):
        text = (
            f"metric_for_best_model: {named} is high for models that unlearn to write, too; choose by "
            "held-out loss (--set metric_for_best_model=eval_loss --set greater_is_better=false) and compare "
            "checkpoints by a task metric (keep_checkpoints: true, then preceptor evaluate)"
        )
        yield Defect("best_model", "", 0, (), text, refused=False)


def _find_lacking(config: TrainingConfig, arguments: Any, model: Any) -> Iterator[str]:
    """Packages that are not installed, with the way to do without."""
    for name in arguments.report_to or []:
        packages = _REPORTS.get(name, (name,))
        if name not in ("none", "all") and not any(_is_installed(package) for package in packages):
            yield (
                f"'report_to': {name} is not installed: pip install {packages[0]}; or --set report_to=none"
            )
    if arguments.use_liger_kernel and not _is_installed("liger_kernel"):
        yield (
            "'use_liger_kernel': liger-kernel is not installed: pip install liger-kernel (needs a GPU); or "
            "--set use_liger_kernel=false"
        )
    for key in ("load_in_4bit", "load_in_8bit"):
        if getattr(model, key) and not _is_installed("bitsandbytes"):
            yield f"'{key}': bitsandbytes is not installed: pip install bitsandbytes; or --set {key}=false"
    if model.use_peft and not _is_installed("peft"):
        yield "'use_peft': peft is not installed: pip install peft; or --set use_peft=false"
    if text := _try_attention(config, arguments):
        yield text
    if arguments.optim not in _PLAIN_OPTIMIZERS and (text := _try_optimizer(arguments)):
        yield text


def _try_attention(config: TrainingConfig, arguments: Any) -> str | None:
    """Let transformers choose the attention for the model's config, without weights."""
    name = arguments.model_init_kwargs["attn_implementation"]
    if not name:
        return None
    mend = f"'attn_implementation': {name} cannot be used here: {{}}; or --set attn_implementation=sdpa"
    if "/" in name:
        return None if _is_installed("kernels") else mend.format("pip install kernels")
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    trusted = bool(config.values.get("trust_remote_code"))
    try:
        read = AutoConfig.from_pretrained(
            str(config.values["model_name_or_path"]),
            revision=arguments.model_init_kwargs["revision"] or "main",
            trust_remote_code=trusted,
        )
        with torch.device("meta"):
            AutoModelForCausalLM.from_config(read, attn_implementation=name, trust_remote_code=trusted)
    except OSError:  # no model is there: preflight says so when it reads the tokenizer
        return None
    except Exception as error:
        return mend.format(_shorten(error))
    return None


def _try_optimizer(arguments: Any) -> str | None:
    """Let transformers look for the optimizer's class; None if there is one."""
    from transformers import Trainer

    try:
        Trainer.get_optimizer_cls_and_kwargs(arguments, None)
    except (ImportError, ValueError, NotImplementedError, TypeError) as error:
        if "to pass a" in str(error):  # the package is there, and only the model is missing
            return None
        return (
            f"'optim': {arguments.optim} cannot be used here: {_shorten(error)}; or --set optim=adamw_torch"
        )
    return None


def _try_parts(arguments: Any, model: Any) -> Iterator[str]:
    """Make the parts that need no weights: learning rate schedule, adapter, quantization."""
    import torch
    import trl
    from transformers import get_scheduler

    one = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1e-3)
    parts: dict[str, Callable[[], Any]] = {
        "lr_scheduler_type, lr_scheduler_kwargs": lambda: get_scheduler(
            arguments.lr_scheduler_type,
            one,
            num_warmup_steps=1,
            num_training_steps=10,
            scheduler_specific_kwargs=arguments.lr_scheduler_kwargs,
        ),
        "use_peft and lora_*": lambda: trl.get_peft_config(model),
        "load_in_4bit and its options": lambda: trl.get_quantization_config(model),
    }
    for keys, make in parts.items():
        try:
            make()
        except Exception as error:  # of every kind, as these parts are of four libraries
            yield f"{keys}: {type(error).__name__}: {_shorten(error)}; mend these values"


def _is_installed(package: str) -> bool:
    """True if a package can be imported; its name may be that of the import or of the distribution."""
    return find_spec(package.replace("-", "_")) is not None or (
        "-" in package and find_spec(package.partition("-")[0]) is not None
    )


def _shorten(error: Exception) -> str:
    return " ".join(str(error).split())[:300].rstrip(".") or type(error).__name__
