"""All training stages by name: STAGES["dpo"].dataset_config -> "preference".

A new stage is a file of this folder that defines STAGE, and a line here. Messages list the stages in this
order.
"""

from importlib import import_module

from .stage import Stage

_FILES = (
    "sft",
    "dpo",
    "ipo",
    "kto",
    "soft_dpo",
)
STAGES: dict[str, Stage] = {
    stage.name: stage for stage in (import_module(f".{file}", __package__).STAGE for file in _FILES)
}
