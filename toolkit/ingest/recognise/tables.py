"""Propose how a table is read as a format of ours: which column is which, and what its words mean.

Mnemonic A;Mnemonic B;Better;Judge      votes: --map completion_a='Mnemonic A' … --map choice=Better
term,mnemonic_1,mnemonic_2              prompts: --map prompt=term --wide 'mnemonic_{n}'
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..files.fields import PLACE, Columns
from ..files.values import split_maps
from ..formats.format import Format, load_named
from .cell_words import are_choices, are_truths, find_choices, find_date_format, find_levels, find_truths
from .known_names import KnownNames
from .near_names import EXACT, MEANS, NEAR, find_column, fold_letters
from .proposal import Proposal
from .sample import Sample

_BY_STORE = 1.0  # cells of the column are ids of the store
_BY_PATTERN = 0.95
_BY_GUESS = 0.7
_OWN_NAMES = ("dialogue", "lexicon")  # of formats whose JSON Lines have our names only
_LONG = 15  # letters of a text, at least, on average
_OPTIONAL = (  # columns that are found by a word that means them; others only by their own name
    *("annotator", "learner", "at", "correct", "grade", "skills", "attempts", "duration_ms", "levels"),
    *("gloss", "frequency", "author"),
)


@dataclass
class _Plan:
    """What was found so far."""

    names: dict[str, str] = field(default_factory=dict)  # our column -> the file's
    scores: dict[str, float] = field(default_factory=dict)  # of required columns
    set: dict[str, str] = field(default_factory=dict)
    words: dict[str, list[str]] = field(default_factory=dict)  # choice:a -> words
    options: dict[str, Any] = field(default_factory=dict)
    why: list[str] = field(default_factory=list)
    guesses: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def name(self, ours: str, theirs: str, score: float) -> None:
        self.names[ours], self.scores[ours] = theirs, score


def propose_table(
    format: Format, sample: Sample, known: KnownNames, given: Mapping[str, Any]
) -> Proposal | None:
    """Propose options that read a table as a format; None if too few of its columns are there.

    `given` are the user's own options, which win.
    """
    if sample.kind not in ("table", "JSON Lines") or not sample.columns:
        return None
    columns: Columns = load_named(format.table)
    plan = _Plan()
    _take_given(plan, columns, given)
    _find_by_store(plan, format, columns, known)
    if "wide" in format.takes and sample.kind == "table" and not given.get("wide"):
        _find_wide(plan, format, sample, known)
    _find_by_name(plan, columns, sample)
    _find_constants(plan, format, columns, sample)
    needed = [name for name in columns.required if name not in _list_spared(plan)]
    scores = [plan.scores.get(name, 0.0) for name in needed]
    if format.needs:
        scores.append(max(plan.scores.get(name, 0.0) for name in format.needs))
    found = sum(score > 0 for score in scores)
    if not scores or found < max(2, len(scores) - 1):
        return None
    for name in (name for name in needed if not plan.scores.get(name)):
        way = f"--set {name}=VALUE" if name in ("criterion", "measure", "task") else f"--map {name}=COLUMN"
        plan.missing.append(f"which column is {name} ({way})")
    if format.needs and not any(plan.scores.get(name) for name in format.needs):
        named = " or ".join(format.needs)
        plan.missing.append(f"which column is {named} (--map {format.needs[0]}=COLUMN)")
    _find_words(plan, format, sample)
    renamed = any(ours != theirs for ours, theirs in plan.names.items())
    if sample.kind == "JSON Lines" and format.kind in _OWN_NAMES and (renamed or plan.set):
        return None
    return _make(format, plan, known, given, sum(scores) / len(scores))


def _make(format: Format, plan: _Plan, known: KnownNames, given: Mapping[str, Any], sure: float) -> Proposal:
    used = [known.completions, known.prompts]
    if format.about == "completions" and any(set(of) & set(plan.names.values()) for of in used):
        sure = min(1.0, sure + 0.05)
    elif any(name in known.completions for name in plan.names.values()):
        sure -= 0.05
    options = dict(plan.options)
    renamed = {ours: theirs for ours, theirs in plan.names.items() if ours != theirs}
    words = {key: of[0] if len(of) == 1 else of for key, of in plan.words.items()}
    if renamed or words:
        options["map"] = {**renamed, **words, **dict(given.get("map") or {})}
    if plan.set:
        options["set"] = {**plan.set, **dict(given.get("set") or {})}
    if format.about and known.about and len(known.sources) > 1 and not given.get("about"):
        options["about"] = known.about
    if format.about == "completions" and not known.sources:
        plan.guesses.append("these rows name completions, and the store has none yet: ingest prompts first")
    elif format.about == "completions" and not known.completions and "wide" not in plan.options:
        plan.guesses.append("no column has ids of completions of the store, as far as was looked")
    elif format.about == "prompts" and not known.prompts:
        plan.guesses.append("these rows name prompts that the store does not have: ingest prompts first")
    exact = [ours for ours, theirs in plan.names.items() if ours == theirs]
    if exact:
        plan.why.insert(0, f"its columns {', '.join(exact)}")
    plan.why += [f"'{theirs}' for {ours}" for ours, theirs in renamed.items()]
    takes = {name: value for name, value in options.items() if name in format.takes}
    weight = len(plan.names) + len(plan.options)
    return Proposal(
        format.name, sure, weight, tuple(plan.why), takes, tuple(plan.guesses), tuple(plan.missing)
    )


def _take_given(plan: _Plan, columns: Columns, given: Mapping[str, Any]) -> None:
    pairs = [
        (key, word)
        for key, of in dict(given.get("map") or {}).items()
        for word in ([of] if isinstance(of, str) else of)
    ]
    for ours, theirs in split_maps(pairs)[0].items():
        if ours in columns.all:
            plan.name(ours, theirs, EXACT)
    for ours in given.get("set") or {}:
        plan.scores[ours] = EXACT
    if given.get("learner"):
        plan.scores["learner"] = EXACT
    if pattern := given.get("wide"):
        _note_pattern(plan, columns, pattern)


def _note_pattern(plan: _Plan, columns: Columns, pattern: str) -> None:
    for name in {*PLACE.findall(pattern), columns.value}:
        plan.scores[name] = _BY_PATTERN
    if set(PLACE.findall(pattern)) & set(columns.extra):
        plan.scores |= dict.fromkeys(columns.asked, _BY_PATTERN)


def _list_spared(plan: _Plan) -> set[str]:
    """Columns that a log of one learner need not have."""
    return {"learner"} if plan.scores.get("learner") and "learner" not in plan.names else set()


def _find_by_store(plan: _Plan, format: Format, columns: Columns, known: KnownNames) -> None:
    """Columns whose cells are ids that the store knows."""
    wanted = [n for n in ("completion_a", "completion_b", "completion") if n in columns.required]
    if len(known.completions) >= len(wanted) and not plan.names:
        for ours, theirs in zip(wanted, known.completions, strict=False):
            plan.name(ours, theirs, _BY_STORE)
            plan.why.append(f"'{theirs}' has ids of completions of '{known.about}'")
    if format.about == "prompts" and known.prompts and "prompt" not in plan.names:
        plan.name("prompt", known.prompts[0], _BY_STORE)
        plan.why.append(f"'{known.prompts[0]}' has ids of prompts of '{known.about}'")


def _find_wide(plan: _Plan, format: Format, sample: Sample, known: KnownNames) -> None:
    """A pattern of columns with a value each: of votes one a prompt, of prompts one a completion."""
    columns: Columns = load_named(format.table)
    pattern = ""
    if format.name == "votes":
        pattern = known.wide or _find_questions(sample)
    elif format.name == "prompts":
        pattern = _find_numbered(sample)
        if pattern and "task" not in plan.scores:
            stem = re.sub(r"[\W_]+", "-", pattern.partition("{")[0].lower()).strip("-") or "tutor"
            plan.set["task"], plan.scores["task"] = stem, _BY_GUESS
            plan.guesses.append(f"the task is called '{stem}' (--set task=NAME for another name)")
    if pattern:
        plan.options["wide"] = pattern
        plan.why.append(f"columns like '{pattern}'")
        _note_pattern(plan, columns, pattern)
        if format.name == "votes" and not known.wide:
            plan.missing.append(
                "which prompts these columns name: none of the store's (ingest prompts first)"
            )


def _find_questions(sample: Sample) -> str:
    """The beginning that several columns of choices share: 'Which is better: {prompt}'."""
    told = [name for name in sample.rows.columns if are_choices(sample.rows[name].drop_nulls().to_list())]
    heads = Counter(match[0] for name in told if (match := re.match(r".*[:\[\-–] ?", name)))
    head, n = max(heads.items(), key=lambda one: one[1], default=("", 0))
    closing = "]" if head.rstrip().endswith("[") else ""
    return f"{head}{{prompt}}{closing}" if n > 1 and not PLACE.search(head) else ""


def _find_numbered(sample: Sample) -> str:
    """The name that several numbered columns of texts share: 'mnemonic_{n}'."""
    heads: Counter[str] = Counter()
    for name in sample.rows.columns:
        if match := re.fullmatch(r"(.*?\D)(\d{1,2}|[a-h])", name, re.IGNORECASE):
            texts = sample.rows[name].drop_nulls()
            length = texts.str.len_chars().mean() if len(texts) else 0
            lettered = not match[2].isdigit() and not re.search(r"[\W_]$", match[1])
            if isinstance(length, float) and length >= _LONG and not lettered:
                heads[match[1]] += 1
    head, n = max(heads.items(), key=lambda one: one[1], default=("", 0))
    return f"{head}{{n}}" if n > 1 and not PLACE.search(head) else ""


def _find_by_name(plan: _Plan, columns: Columns, sample: Sample) -> None:
    """Columns by their names: our own first, then words that mean ours, then near ones."""
    have = [name for name in sample.columns if not _is_of_pattern(name, plan.options.get("wide", ""))]
    for least in (EXACT, MEANS, NEAR):
        if least == NEAR:
            _find_sides(plan, columns, have)
            _find_value(plan, columns, sample)
        for ours in columns.all:
            if ours in plan.scores or (least < EXACT and not (ours in columns.required or ours in _OPTIONAL)):
                continue
            found = find_column(ours, have, plan.names.values())
            if found and found[1] >= least and not (ours in columns.optional and found[1] < MEANS):
                plan.name(ours, *found)
                if found[1] < MEANS:
                    plan.guesses.append(f"column '{found[0]}' is {ours}")


def _find_value(plan: _Plan, columns: Columns, sample: Sample) -> None:
    """The only column that is left with choices, or with levels, whatever its name."""
    about = "completion" if columns.value == "value" else "completion_a"
    if columns.value not in ("choice", "value") or columns.value in plan.scores or about not in plan.scores:
        return
    left = [name for name in sample.rows.columns if name not in plan.names.values()]
    cells = {name: _list_cells(sample, name) for name in left}
    fits = are_choices if columns.value == "choice" else find_levels
    found = [name for name in left if fits(cells[name])]
    if len(found) == 1:
        plan.name(columns.value, found[0], NEAR)
        plan.guesses.append(f"column '{found[0]}' is {columns.value}")


def _find_sides(plan: _Plan, columns: Columns, have: Sequence[str]) -> None:
    """Two columns that differ in their last letter, A and B, or 1 and 2: Mnemonic A, Mnemonic B."""
    if "completion_a" not in columns.required or {"completion_a", "completion_b"} & plan.scores.keys():
        return
    folded = {fold_letters(name): name for name in have if name not in plan.names.values()}
    found = [
        (folded[name], folded[name[:-1] + other])
        for one, other in ("ab", "12")
        for name in folded
        if name.endswith(one) and name[:-1] and name[:-1] + other in folded
    ]
    if len(found) == 1:
        for ours, theirs in zip(("completion_a", "completion_b"), found[0], strict=True):
            plan.name(ours, theirs, NEAR)
            plan.guesses.append(f"column '{theirs}' is {ours}")


def _is_of_pattern(name: str, pattern: str) -> bool:
    parts = PLACE.split(pattern)
    form = "".join(".+?" if i % 2 else re.escape(part) for i, part in enumerate(parts))
    return bool(pattern) and re.fullmatch(form, name, re.IGNORECASE | re.DOTALL) is not None


def _find_constants(plan: _Plan, format: Format, columns: Columns, sample: Sample) -> None:
    """What many tables leave out, since it is the same in all rows."""
    value = plan.names.get("value", "")
    cells = _list_cells(sample, value)
    if "criterion" in columns.required and "criterion" not in plan.scores and value:
        word = re.sub(r"\s+", "-", value.strip().lower())
        plan.set["criterion"], plan.scores["criterion"] = word, _BY_GUESS
        plan.guesses.append(f"what was rated is called '{word}' (--set criterion=NAME for another name)")
    if "measure" in columns.required and "measure" not in plan.scores and value:
        truths = are_truths(cells) or set(cells) <= {"0", "1"}
        measure = "success" if truths else "turns"
        plan.set["measure"] = measure
        plan.scores["measure"] = MEANS if are_truths(cells) else _BY_GUESS
        if not are_truths(cells):
            plan.guesses.append(f"'{value}' is {measure} (--set measure=success or turns)")
    if format.name == "prompts" and "id" not in plan.scores and plan.names.get("prompt"):
        column = plan.names["prompt"]
        if sample.rows.columns and column in sample.rows.columns and sample.rows[column].is_unique().all():
            plan.name("id", column, _BY_GUESS)
            plan.guesses.append(f"'{column}' is also the id of each prompt")


def _find_words(plan: _Plan, format: Format, sample: Sample) -> None:
    """What the words of the columns mean, how many levels ratings have, how times are written."""
    if format.name == "votes":
        wide = plan.options.get("wide", "")
        asked = [name for name in sample.rows.columns if _is_of_pattern(name, wide)] if wide else []
        cells = [
            cell for name in asked or [plan.names.get("choice", "")] for cell in _list_cells(sample, name)
        ]
        ids = {
            c
            for side in ("completion_a", "completion_b")
            for c in _list_cells(sample, plan.names.get(side, ""))
        }
        found, strange = find_choices(cells)
        strange = [word for word in strange if word not in ids]
        _add_words(plan, found, strange, "choice", "a, b or tie")
    for column in ("correct", "censored"):
        if theirs := plan.names.get(column):
            _add_words(plan, *find_truths(_list_cells(sample, theirs), column), column, "true or false")
    if format.name == "ratings" and "levels" not in plan.names:
        levels = find_levels(_list_cells(sample, plan.names.get("value", "")))
        if levels:
            plan.options["levels"] = levels
            plan.guesses.append(f"ratings have {levels} levels (--levels N for another number)")
        else:
            plan.missing.append("how many levels the ratings have (--levels N, or --scale LOWEST..HIGHEST)")
    if theirs := plan.names.get("at"):
        cells = _list_cells(sample, theirs)
        if found_form := find_date_format(cells):
            form, only = found_form
            plan.options["date_format"] = form
            if not only:
                plan.guesses.append(f"'{cells[0]}' is written as {form}: the day may come second")


def _add_words(
    plan: _Plan, found: Mapping[str, list[str]], strange: list[str], column: str, expected: str
) -> None:
    if len(strange) > 12:  # no words, but texts or numbers
        return
    plan.words.update({key: list(words) for key, words in found.items()})
    plan.missing += [
        f"what '{word}' means: {expected} (--map {column}:VALUE='{word}')" for word in strange[:5]
    ]


def _list_cells(sample: Sample, column: str) -> list[str]:
    if column not in sample.rows.columns:
        return []
    return sample.rows[column].drop_nulls().unique(maintain_order=True).to_list()
