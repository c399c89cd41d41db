"""Recipe files: YAML with known keys, defaults, and errors that name the nearest key.

name: mnemonic-preference
task: mnemonic
target: 0.5
pairs: {policy: best-worst, min_confidence: 0.6}
splits: {train: 0.8, validation: 0.1, test: 0.1}
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from .errors import RecipeError, SourceError
from .licenses import read_license
from .support.nearest import find_nearest
from .support.settings_files.faults import explain_by_line
from .support.settings_files.kinds import expect_kind
from .support.settings_files.yaml_text import SettingsFile, read_settings

Share = Annotated[float, Field(ge=0, le=1)]

NAME = "a dataset's recipe, such as recipes/mnemonic/dataset.yaml (preceptor recipe copy writes it)"

SoftLabel = Literal["p", "p_vote", "p_panel"]
Config = Literal["preference", "sft", "unpaired", "soft", "signals", "exercises"]
CONFIGS: tuple[Config, ...] = get_args(Config)
Clean = Literal["spaces", "trim", "quotes", "speaker", "detokenise", "duplicates"]


def _find_place(text: str) -> str:
    """Return a wording that has a place for the prompt; ValueError for one that has none."""
    if "{prompt}" not in text:
        near = find_nearest("prompt", re.findall(r"{(.*?)}", text))
        raise ValueError(f"must contain {{prompt}}{f', not {{{near}}}' if near else ''}: '{text}'")
    return text


Wording = Annotated[str, AfterValidator(_find_place)]


class Section(BaseModel):
    """A part of a recipe: keys that are not known are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


BY_FIT = ("best-worst", "all", "adjacent", "uncertain-band")
"""Policies that go by a fit."""


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
    unjudged: bool = False
    """Take answers that nobody judged, too, by what a fit with --text expects of them. By a fit alone."""
    eligible: str | None = None
    """Which pairs may be taken, as an expression of columns: chosen_score > 0.8 and chosen_score >
    rejected_score. docs/datasets.md lists the columns."""

    @model_validator(mode="after")
    def _band_is_in_order(self) -> "PairsSettings":
        low, high = self.band
        if not 0.5 <= low < high:
            raise ValueError(f"band: expected two numbers from 0.5 to 1 in order, not {low:g} and {high:g}")
        return self

    @model_validator(mode="after")
    def _keys_have_an_effect(self) -> "PairsSettings":
        for key, policy in (("band", "uncertain-band"), ("criteria", "rubric-dominance")):
            default = type(self).model_fields[key].default
            if self.policy != policy and getattr(self, key) != default:
                raise ValueError(
                    f"{key} has no effect with policy '{self.policy}', only with '{policy}': "
                    "leave one of them out"
                )
        if self.unjudged and self.policy not in BY_FIT:
            raise ValueError(
                f"unjudged has no effect with policy '{self.policy}', which goes by no fit, only with "
                f"{', '.join(BY_FIT)}: leave one of them out"
            )
        return self


class Splits(Section):
    """Shares of groups per split; a group's split depends on its name and the seed alone."""

    train: Share = 0.8
    """Share of the groups to train on."""
    validation: Share = 0.1
    """Share of the groups to watch a training with."""
    test: Share = 0.1
    """Share of the groups to measure the trained model on; the three shares add up to 1."""
    seed: int = 0
    """Random seed of the assignment."""
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
    share: Annotated[float, Field(gt=0, lt=1)] = 0.25
    """Largest share of over-corrections among the pairs; beyond it they are dropped at random. Without effect
    if over is the only kind."""
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
    """Name of the benchmark in messages and on the card."""
    path: Path
    """The file or folder; JSON Lines, CSV or Parquet."""
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


Fact = Literal["level", "first_language", "recurring_errors", "struggles_with", "can", "goal"]


class LearnerContext(Section):
    """What a row's system message says of its learner, as it was before the row."""

    facts: Annotated[list[Fact], Field(min_length=1)] = list(get_args(Fact))
    """level, first_language: as their sentences say; recurring_errors: in sentences before the row's;
    struggles_with, can: skills, by answers before the row; goal: in the prompt's context."""
    wording: str = "About the learner: {facts}."
    """Wording of the message; {facts} is replaced by what is known."""

    @field_validator("wording")
    @classmethod
    def _has_a_place(cls, text: str) -> str:
        if "{facts}" not in text:
            raise ValueError(f"must contain {{facts}}: '{text}'")
        return text


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
    instruction: Wording = "{prompt}"
    """Wording of the last user turn; {prompt} is replaced by the source's own text."""
    instructions: dict[str, Wording] = {}
    """The same by the prompt's language (BCP 47), for those that have their own."""
    learner_context: Annotated[LearnerContext | None, Field(exclude_if=lambda given: given is None)] = None
    """Tell the tutor about the learner of each row, where one is known; a learner's rows are in one split."""
    pairs: PairsSettings = PairsSettings()
    corrections: Corrections | None = None
    """Build from edits instead of from a fit."""
    outcomes: list[ReviewOutcomes] = []
    """Outcomes of completions from study logs: made by preceptor outcomes, before the fit."""
    """Which pairs of a prompt's completions become rows."""
    splits: Splits = Splits()
    """Shares of groups per split."""
    leaks: Leaks = Leaks()
    """Texts of held-out data that training data must not contain."""
    benchmarks: list[Benchmark] = []
    """Texts of tests that are not in the store."""
    tokenizer: Tokenizer | None = None
    """Tokenizer of the model to be trained; finds pairs that it cannot distinguish."""
    privacy: Privacy = Privacy()
    """Personal data in texts, and signals of too few learners."""
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
    ratings and outcomes about them. exercises: what preceptor exercises build made of these sources."""
    soft_label: Annotated[SoftLabel, Field(exclude_if=lambda label: label == "p")] = "p"
    """What column p of config soft says. p: P(chosen is better), by the target. p_vote: P(a new annotator who
    decides votes for chosen): how people would vote. p_panel: the same of a majority of three."""
    citations: Annotated[dict[str, str], Field(exclude_if=lambda given: not given)] = {}
    """How to cite a source, by its name: BibTeX or plain text, for the card."""
    language: str = "en"
    """Language of the card, for rows that do not say theirs."""
    title: str | None = None
    """Heading of the card; the name where it is left out."""

    @model_validator(mode="after")
    def _edits_need_no_policy(self) -> "Recipe":
        if self.corrections and self.pairs.model_fields_set & {"policy", "criteria", "band"}:
            given = ", ".join(sorted(self.pairs.model_fields_set & {"policy", "criteria", "band"}))
            raise ValueError(
                f"corrections makes pairs from edits, so pairs ({given}) has no effect: leave one of them out"
            )
        return self

    @model_validator(mode="after")
    def _context_needs_messages(self) -> "Recipe":
        if self.learner_context and self.format == "plain":
            raise ValueError("learner_context is a system message, which format: plain has no place for")
        return self

    @field_validator("configs")
    @classmethod
    def _signals_have_rows(cls, configs: list[Config]) -> list[Config]:
        if "signals" in configs and set(configs) <= {"signals", "exercises"}:
            raise ValueError(
                "signals is about the rows of other configs: name one of these too, such as "
                "[preference, signals]"
            )
        return configs

    @model_validator(mode="after")
    def _exercises_need_no_pairs(self) -> "Recipe":
        without = {
            "task",
            "target",
            "pairs",
            "corrections",
            "clean",
            "instruction",
            "instructions",
            "learner_context",
            "tokenizer",
        }
        given = sorted(without & self.model_fields_set)
        if set(self.configs) == {"exercises"} and given:
            raise ValueError(f"{', '.join(given)}: has no effect on config exercises: leave it out")
        return self

    @model_validator(mode="after")
    def _soft_labels_have_rows(self) -> "Recipe":
        if self.soft_label != "p" and "soft" not in self.configs:
            raise ValueError(
                f"soft_label: {self.soft_label} has no effect without config soft: add it to configs, or "
                "leave soft_label out"
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

    Raises RecipeError with all faults: file, line, key and the nearest known one.
    """
    return parse_recipe(read_settings(path, NAME, "name: my-dataset"))


def parse_recipe(file: SettingsFile) -> Recipe:
    """Check the content of a recipe's file.

    Raises RecipeError with all faults: file, line, key and the nearest known one.
    """
    expect_kind(file, "dataset", NAME)
    try:
        return Recipe.model_validate(file.content)
    except ValidationError as error:
        raise RecipeError(explain_by_line(file.path, error, Recipe, file.lines)) from error
