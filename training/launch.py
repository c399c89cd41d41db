"""Several processes for one run: `preceptor train … --launch fsdp --processes 4`, by accelerate's launcher.

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

CONFIGS = Path(__file__).parent / "accelerate"
_MODULE = "preceptor.toolkit.cli.main"
_AFTER_FIRST = 30.0  # seconds for the launcher to stop the other processes once the first has failed

T = TypeVar("T")


def launch_config(name: str) -> Path:
    """The accelerate config of that name among the packaged ones, or the file; TrainingError for neither."""
    known = sorted(path.stem for path in CONFIGS.glob("*.yaml"))
    if name in known:
        return CONFIGS / f"{name}.yaml"
    if Path(name).is_file():
        return Path(name)
    near = find_nearest(name, known)
    meant = f"did you mean {near}? " if near else ""
    raise TrainingError(f"--launch {name}: {meant}known are {', '.join(known)}, or a file of accelerate's")


def launch_command(
    name: str, processes: int | None, sets: Sequence[str], arguments: Sequence[str]
) -> list[str]:
    """What `accelerate launch` is given for a command line of `preceptor`; TrainingError says what is wrong.

    `processes` counts those of all machines; None takes as many as this machine has GPUs, times num_machines.
    `sets` are texts option=value of accelerate's launcher, such as machine_rank=1.
    """
    config = launch_config(name)
    told = _told(sets)
    given = ["--config_file", str(config)]
    if config.stem != "gpu" or processes is not None:
        given += ["--num_processes", str(processes or _gpus(config, told))]
    for option, value in told.items():
        flag = isinstance(value, str) and value.lower() == "true" and option in _flags()
        given += [f"--{option}", *([] if flag else [value])]
    return [*given, "--module", _MODULE, *arguments]


def run_launched(command: Sequence[str]) -> int:
    """Start the processes and wait for them; the exit code of the one that failed first, or 0."""
    from accelerate.commands.launch import launch_command as accelerate_launch
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    _need_deepspeed(command)
    try:
        accelerate_launch(_parser().parse_args(list(command)))
    except ChildFailedError as error:  # each process has said why
        return abs(error.get_first_failure()[1].exitcode) or 1
    except SignalException as error:  # the launcher has ended the processes
        return 128 + int(error.sigval)
    except (ValueError, ConnectionError) as error:
        raise TrainingError(f"accelerate launch: {' '.join(str(error).split())}") from error
    return 0


def rank() -> int:
    """Of this process among those of the run; 0 where it is alone."""
    return int(os.environ.get("RANK", "0"))


def world() -> int:
    """Processes of this run, as torchrun and accelerate say it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


@contextmanager
def first_speaks() -> Iterator[None]:
    """An error that all processes meet is told once: the others wait until the launcher ends them.

    One that only they have is told after some seconds.
    """
    try:
        yield
    except PreceptorError:
        if rank():
            time.sleep(_AFTER_FIRST)
        raise


def told_by_first(find: Callable[[], T]) -> T:
    """What the first process finds, known to all of them; what it refuses, all refuse."""
    if world() == 1:
        return find()
    from accelerate.utils import broadcast_object_list

    said: list[Any] = [None, None]
    if rank() == 0:
        try:
            said[0] = find()
        except PreceptorError as error:
            said[1] = error
    broadcast_object_list(said)
    if said[1] is not None:
        raise said[1]
    found: T = said[0]
    return found


def _told(sets: Sequence[str]) -> dict[str, str]:
    known = {option.lstrip("-").replace("-", "_") for a in _parser()._actions for option in a.option_strings}
    told = {}
    for text in sets:
        option, equals, value = text.partition("=")
        option = option.strip().lstrip("-").replace("-", "_")
        if not equals:
            raise TrainingError(f"--launch-set {text}: expected option=value, such as machine_rank=1")
        if option not in known:
            near = find_nearest(option, sorted(known))
            hint = f"did you mean '{near}'?" if near else "see accelerate launch --help"
            raise TrainingError(f"--launch-set {text}: accelerate launch has no option '{option}': {hint}")
        told[option] = value
    return told


def _parser() -> Any:
    from accelerate.commands.launch import launch_command_parser

    return launch_command_parser()


def _flags() -> set[str]:
    return {a.dest for a in _parser()._actions if a.nargs == 0}


def _gpus(config: Path, told: Mapping[str, str]) -> int:
    """GPUs of this machine, times the machines; TrainingError where there are none to count."""
    import torch
    import yaml

    here = int(torch.accelerator.device_count())
    if not here:
        raise TrainingError(
            f"--launch {config.stem}: no GPU is here to count; say how many processes: --processes 2"
        )
    content = yaml.safe_load(config.read_text(encoding="utf-8"))
    return here * int(told.get("num_machines", content.get("num_machines", 1)))


def _need_deepspeed(command: Sequence[str]) -> None:
    from importlib.util import find_spec

    import yaml

    content = yaml.safe_load(Path(command[1]).read_text(encoding="utf-8"))
    if content.get("distributed_type") == "DEEPSPEED" and find_spec("deepspeed") is None:
        raise TrainingError(f"{command[1]}: needs DeepSpeed: pip install deepspeed; or --launch fsdp")
