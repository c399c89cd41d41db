"""Recipe files: YAML with known keys, defaults, and errors that name the nearest key.

name: mnemonic-preference
task: mnemonic
target: 0.5
pairs: {policy: best-worst, min_confidence: 0.6}
splits: {train: 0.8, validation: 0.1, test: 0.1}
"""

from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from .errors import RecipeError, SourceError
from .licenses import read_license
from .support.nearest import suggest

Share = Annotated[float, Field(ge=0, le=1)]


Config = Literal["preference", "sft", "unpaired", "soft", "signals"]
CONFIGS: tuple[Config, ...] = get_args(Config)
Clean = Literal["spaces", "trim", "quotes", "speaker", "detokenise", "duplicates"]


class Section(BaseModel):
    """A part of a recipe: keys that are not known are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PairsSettings(Section):
    """Which pairs of a prompt's completions become rows."""

    policy: Literal[
        "best-worst",
        "all",
        "adjacent",
        "uncertain-band",
        "expert-over-novice",
        "right-over-wrong",
        "probing-over-telling",
        "matching-over-mismatching",
        "rubric-dominance",
        "best-over-worst-score",
    ] = "best-worst"
    """By a fit: best-worst: the two ends of a prompt's posterior means. adjacent: neighbours in their order.
    uncertain-band: pairs whose p lies in `band`. all: every pair. The others go by what the source says of
    the completions and need no fit."""
    band: tuple[Share, Share] = (0.6, 0.9)
    """For uncertain-band: the least and the greatest probability that the better side is better."""
    criteria: list[str] = []
    """For rubric-dominance: the criteria that count; all if empty."""
    min_confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.6
    """A pair whose better side is better with less than this probability is a coin flip: it is dropped, and
    kept for soft labels alone."""
    eligible: str | None = None
    """Which pairs may be taken, as an expression of columns: chosen_score > 0.8 and chosen_score >
    rejected_score. `preceptor build --help` lists the columns."""

    @model_validator(mode="after")
    def _band_is_in_order(self) -> "PairsSettings":
        low, high = self.band
        if not 0.5 <= low < high:
            raise ValueError(f"band: expected two numbers from 0.5 to 1 in order, not {low:g} and {high:g}")
        return self


class Splits(Section):
    """Shares of groups per split; a group's split depends on its name and the seed alone."""

    train: Share = 0.8
    validation: Share = 0.1
    test: Share = 0.1
    seed: int = 0
    sft: Share = 0.5
    """Share of the train groups that examples (config sft) are taken from; pairs come from the others, so
    that no model is preferred on what it has imitated. All groups that are held out are in both."""
    shared: bool = False
    """Examples and pairs from the same groups instead."""

    @model_validator(mode="after")
    def _sum_to_one(self) -> "Splits":
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-9:
            raise ValueError(f"train, validation and test add up to {total:g}, not 1")
        return self


class Corrections(Section):
    """Pairs from annotators' edits, without a fit: chosen is a full correction."""

    rejected: Annotated[list[Literal["learner", "partial", "over"]], Field(min_length=1)] = [
        "learner",
        "partial",
        "over",
    ]
    """The learner's own text, a partial correction, an over-correction."""
    left_out: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Share of an annotator's edits that a partial correction leaves out, at least one."""
    seed: int = 0
    """Random seed: chooses the edits to leave out and the words to over-correct."""


class ReviewOutcomes(Section):
    """Rules that make outcomes from a study log: preceptor outcomes RECIPE."""

    reviews: str
    """Source of the log; its items are ids of completions."""
    about: str
    """Source of these completions."""
    measure: Literal["turns", "success"] = "turns"
    """turns: events a learner failed before the first success with a completion; censored where the log
    ends before it. success: whether the first event after an interval succeeded."""
    after_days: Annotated[float, Field(gt=0)] | None = None
    """For success: the least interval since the event before; events need times."""

    @model_validator(mode="after")
    def _interval_belongs_to_success(self) -> "ReviewOutcomes":
        if (self.measure == "success") != (self.after_days is not None):
            raise ValueError("measure: success needs after_days, and turns takes none")
        return self


class Leaks(Section):
    """Texts of held-out data that training data must not contain."""

    near: Annotated[float, Field(gt=0, le=1)] | None = 0.8
    """Jaccard similarity from which texts are near-duplicates; null: equal texts alone."""
    drop: bool = False
    """Drop rows that leak, counted, instead of stopping."""


class Benchmark(Section):
    """Texts that the dataset must not contain: a file, or a folder of files."""

    name: str
    path: Path
    column: str | None = None
    """Column of the question; may be left out if the file has one column."""
    answer: str | None = None
    """Column of the answer, if no completion may contain it either."""


class Tokenizer(Section):
    """The tokenizer of the trainer; finds pairs that are the same after truncation."""

    name: str
    """A folder with tokenizer.json, or a name on the Hub."""
    max_length: Annotated[int, Field(gt=0)] | None = 1024
    """Tokens of prompt and completion together, as TRL's max_length."""
    cut: Literal["keep_start", "keep_end"] = "keep_start"
    """As TRL's truncation_mode."""
    drop: bool = False
    """Drop such pairs, counted, instead of stopping."""


class Privacy(Section):
    """Personal data in texts, and signals of too few learners."""

    look: bool = True
    """Look for personal data; needs pip install 'preceptor[privacy]'."""
    allow: list[str] = []
    """Kinds that may occur in texts, such as url; preceptor scan --help lists them."""
    learners: Annotated[int, Field(ge=1)] = 5
    """Outcomes of a completion that come from fewer learners than this are not published."""
    drop: bool = False
    """Leave such outcomes out, counted, instead of stopping."""


class Recipe(Section):
    """Rules that make a dataset from a fit."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
    """Name of the dataset: lower case, digits, hyphens."""
    task: str | None = None
    """Prompts of this task only; all tasks where it is left out."""
    sources: list[str] = []
    """Prompts of these sources only; all where it is empty."""
    target: Annotated[float, Field(ge=0, le=1)] | None = None
    """Weight of observed against expressed that the fit must have; any where left out."""
    format: Literal["conversational", "plain"] = "conversational"
    """Lists of messages, or plain text (single-turn prompts only)."""
    instruction: str = "{prompt}"
    """Wording of the last user turn; {prompt} is replaced by the source's own text."""
    instructions: dict[str, str] = {}
    """The same by the prompt's language (BCP 47), for those that have their own."""
    pairs: PairsSettings = PairsSettings()
    corrections: Corrections | None = None
    """Build from edits instead of from a fit."""
    outcomes: list[ReviewOutcomes] = []
    """Outcomes of completions from study logs: made by preceptor outcomes, before the fit."""
    splits: Splits = Splits()
    leaks: Leaks = Leaks()
    benchmarks: list[Benchmark] = []
    """Texts of tests that are not in the store."""
    tokenizer: Tokenizer | None = None
    """Tokenizer of the model to be trained; finds pairs that it cannot distinguish."""
    privacy: Privacy = Privacy()
    max_length_bias: Annotated[float, Field(ge=0.5, le=1)] | None = None
    """The longer answer may be chosen in this share of pairs at most; only reported where left out."""
    clean: Annotated[list[Clean], Field(exclude_if=lambda steps: not steps)] = []
    """Steps that clean texts, the same way in prompts and answers. spaces: no-break and invisible spaces.
    trim: spaces around a text. quotes: quotes around a whole answer. speaker: "Tutor:" before an answer.
    detokenise: spaces before punctuation, "do n't". duplicates: rows with the same texts are one."""
    gates: Annotated[dict[str, dict[str, Any]], Field(exclude_if=lambda sections: not sections)] = {}
    """Settings of gates that have no key of their own here, by the gate's name; drop: true leaves their rows
    out, counted, instead of stopping."""
    publish_under: str | None = None
    """SPDX id to publish under. Left out: a local build, marked NOT FOR PUBLICATION."""
    configs: Annotated[list[Config], Field(min_length=1)] = ["preference"]
    """The tables to write. preference: prompt, chosen, rejected. sft: prompt, completion, the better answers.
    unpaired: prompt, completion, label (KTO). soft: all pairs, coin flips too, with p. signals: the votes,
    ratings and outcomes about them."""
    citations: Annotated[dict[str, str], Field(exclude_if=lambda given: not given)] = {}
    """How to cite a source, by its name: BibTeX or plain text, for the card."""
    language: str = "en"
    """Language of the card, for rows that do not say theirs."""
    title: str | None = None
    """Heading of the card; the name where it is left out."""

    @model_validator(mode="after")
    def _instruction_has_a_place(self) -> "Recipe":
        for text in (self.instruction, *self.instructions.values()):
            if "{prompt}" not in text:
                raise ValueError(f"instruction must contain {{prompt}}: '{text}'")
        return self

    @model_validator(mode="after")
    def _edits_need_no_policy(self) -> "Recipe":
        if self.corrections and self.pairs.model_fields_set & {"policy", "criteria", "band"}:
            given = ", ".join(sorted(self.pairs.model_fields_set & {"policy", "criteria", "band"}))
            raise ValueError(
                f"corrections makes pairs from edits, so pairs ({given}) has no effect: leave one of them out"
            )
        return self

    @field_validator("publish_under")
    @classmethod
    def _licence_is_known(cls, text: str | None) -> str | None:
        try:
            read_license(text)
        except SourceError as error:
            raise ValueError(str(error).removeprefix("--license ")) from error
        return text

    def find_wording(self, language: str) -> str:
        """Find the instruction for prompts in a language: its own, its base language's, or the default."""
        for tag in (language, language.partition("-")[0]):
            if tag in self.instructions:
                return self.instructions[tag]
        return self.instruction


def read_recipe(path: Path) -> Recipe:
    """Read and check a recipe.

    Raises RecipeError, which names the file, the key and the nearest known one.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(
            f"{path}: {error.strerror}; name a recipe file, such as recipes/mnemonic/dataset.yaml"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise RecipeError(f"{path}: expected keys and values, such as 'name: my-dataset'")
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        raise RecipeError(f"{path}: {explain_faults(error, Recipe)}") from error


def explain_faults(error: ValidationError, model: type[BaseModel]) -> str:
    """Explain all errors in a file of the model's keys, in a user's words."""
    return "; ".join(_explain(dict(one), model) for one in error.errors())


def _explain(error: dict[str, Any], model: type[BaseModel]) -> str:
    """One validation error in a user's words."""
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        known = _section_at(error["loc"][:-1], model).model_fields
        return f"unknown key '{where}': {suggest(str(error['loc'][-1]), known, 'known keys')}"
    if error["type"] == "missing":
        return f"'{where}' is missing; add it"
    message = error["msg"].removeprefix("Value error, ")
    return f"'{where}': {message}" if where else message


def _section_at(path: tuple[str | int, ...], section: type[BaseModel]) -> type[BaseModel]:
    """The section of a file that a place is in, inside lists and optional sections too."""
    for part in path:
        if isinstance(part, str):
            kind = section.model_fields[part].annotation
            inside = [kind, *get_args(kind)]
            section = next(k for k in inside if isinstance(k, type) and issubclass(k, BaseModel))
    return section
