"""Run training in several processes, by accelerate's launcher.

`preceptor train … --launch fsdp --processes 4`:

fsdp, 4 processes, machine_rank=1
-> accelerate launch --config_file training/accelerate/fsdp.yaml --num_processes 4 --machine_rank 1
   -m preceptor.toolkit.cli.main train …
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from ..schemas.errors import PreceptorError, TrainingError
from ..schemas.support.nearest import find_nearest
from ..schemas.support.settings_files.yaml_text import read_settings
from .config import TrainingConfig
from .trainer.permissions import find_unsafe_launch

CONFIGS = Path(__file__).parent / "accelerate"
_MODULE = "preceptor.toolkit.cli.main"
_AFTER_FIRST = 30.0  # seconds for the launcher to stop the other processes once the first has failed

T = TypeVar("T")


def find_launch_config(name: str) -> Path:
    """Find the packaged accelerate config of that name, or the file; TrainingError if there is neither."""
    known = sorted(path.stem for path in CONFIGS.glob("*.yaml"))
    if name in known:
        return CONFIGS / f"{name}.yaml"
    if Path(name).is_file():
        _check_config(Path(name))
        return Path(name)
    near = find_nearest(name, known)
    meant = f"did you mean {near}? " if near else ""
    raise TrainingError(f"--launch {name}: {meant}known are {', '.join(known)}, or a file of accelerate's")


def _check_config(path: Path) -> None:
    """Raise TrainingError for a file that is none of accelerate's, or that would run more than processes."""
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise TrainingError(f"--launch {path}: not YAML: {' '.join(str(error).split())[:200]}") from error
    if not isinstance(content, dict):
        raise TrainingError(f"--launch {path}: expected keys and values, as `accelerate config` writes them")
    if fault := find_unsafe_launch(content):
        raise TrainingError(f"--launch {path}: {fault}")


def build_launch_command(
    name: str, processes: int | None, sets: Sequence[str], arguments: Sequence[str]
) -> list[str]:
    """Build the arguments of `accelerate launch` for a command line of `preceptor`.

    `processes` is the number on all machines (default: the GPUs of this machine times num_machines). `sets`
    are texts option=value for accelerate's launcher, such as machine_rank=1. TrainingError for an unknown
    config or option, or where there are no GPUs to count.
    """
    config = find_launch_config(name)
    options = _read_options(sets)
    given = ["--config_file", str(config)]
    if config.stem != "gpu" or processes is not None:
        given += ["--num_processes", str(processes or _gpus(config, options))]
    for option, value in options.items():
        flag = isinstance(value, str) and value.lower() == "true" and option in _flags()
        given += [f"--{option}", *([] if flag else [value])]
    return [*given, "--module", _MODULE, *arguments]


def launch_training(
    config: TrainingConfig,
    out: Path | None,
    restart: bool,
    name: str,
    processes: int | None = None,
    sets: Sequence[str] = (),
) -> int:
    """Run `preceptor train` for a recipe in several processes, and wait for them.

    `name` is a packaged accelerate config or a file; `processes` and `sets` are as in build_launch_command.
    Returns 0, or the exit code of the process that failed first. TrainingError if they cannot be started.
    """
    again = ["train", str(config.path), *(part for one in config.sets for part in ("--set", one))]
    again += ["--variant", config.variant] if config.variant else []
    again += ["--out", str(out)] * bool(out) + ["--restart"] * restart
    again += ["--trust-remote-code"] * bool(config.values.get("trust_remote_code"))
    return run_launched(build_launch_command(name, processes, sets, again))


def run_launched(command: Sequence[str]) -> int:
    """Start the processes of a command of build_launch_command and wait for them.

    Returns 0, or the exit code of the process that failed first. TrainingError if they cannot be started.
    """
    from accelerate.commands.launch import launch_command as accelerate_launch
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    _need_deepspeed(command)
    try:
        accelerate_launch(_parser().parse_args(list(command)))
    except ChildFailedError as error:  # each process has shown its error
        return abs(error.get_first_failure()[1].exitcode) or 1
    except SignalException as error:  # the launcher has stopped the processes
        return 128 + int(error.sigval)
    except (ValueError, ConnectionError) as error:
        raise TrainingError(f"accelerate launch: {' '.join(str(error).split())}") from error
    return 0


def get_rank() -> int:
    """Get the rank of this process in the run; 0 if it is alone."""
    return int(os.environ.get("RANK", "0"))


def count_processes() -> int:
    """Count the processes of this run (WORLD_SIZE of torchrun and accelerate; default 1)."""
    return int(os.environ.get("WORLD_SIZE", "1"))


@contextmanager
def let_first_speak() -> Iterator[None]:
    """Let only the first process show an error that all processes have: the others wait to be stopped.

    An error that only another process has is raised there after half a minute.
    """
    try:
        yield
    except PreceptorError:
        if get_rank():
            time.sleep(_AFTER_FIRST)
        raise


def call_in_first(find: Callable[[], T]) -> T:
    """Call `find` in the first process and return its value, or raise its PreceptorError, in all of them."""
    if count_processes() == 1:
        return find()
    from accelerate.utils import broadcast_object_list

    shared: list[Any] = [None, None]
    if get_rank() == 0:
        try:
            shared[0] = find()
        except PreceptorError as error:
            shared[1] = error
    broadcast_object_list(shared)
    if shared[1] is not None:
        raise shared[1]
    found: T = shared[0]
    return found


def _read_options(sets: Sequence[str]) -> dict[str, str]:
    known = {option.lstrip("-").replace("-", "_") for a in _parser()._actions for option in a.option_strings}
    options = {}
    for text in sets:
        option, equals, value = text.partition("=")
        option = option.strip().lstrip("-").replace("-", "_")
        if not equals:
            raise TrainingError(f"--launch-set {text}: expected option=value, such as machine_rank=1")
        if option not in known:
            near = find_nearest(option, sorted(known))
            hint = f"did you mean '{near}'?" if near else "see accelerate launch --help"
            raise TrainingError(f"--launch-set {text}: accelerate launch has no option '{option}': {hint}")
        options[option] = value
    return options


def _parser() -> Any:
    from accelerate.commands.launch import launch_command_parser

    return launch_command_parser()


def _flags() -> set[str]:
    return {a.dest for a in _parser()._actions if a.nargs == 0}


def _gpus(config: Path, options: Mapping[str, str]) -> int:
    """GPUs of this machine times the machines; TrainingError if this machine has none."""
    import torch

    here = int(torch.accelerator.device_count())
    if not here:
        raise TrainingError(
            f"--launch {config.stem}: no GPU is here to count; say how many processes: --processes 2"
        )
    content = _read_config(config)
    return here * int(options.get("num_machines", content.get("num_machines", 1)))


def _need_deepspeed(command: Sequence[str]) -> None:
    from importlib.util import find_spec

    content = _read_config(Path(command[1]))
    if content.get("distributed_type") == "DEEPSPEED" and find_spec("deepspeed") is None:
        raise TrainingError(f"{command[1]}: needs DeepSpeed: pip install deepspeed; or --launch fsdp")


def _read_config(path: Path) -> dict[str, Any]:
    """The keys and values of a configuration of accelerate."""
    return read_settings(path, "a configuration of accelerate", "num_processes: 2").content
