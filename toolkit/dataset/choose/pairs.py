"""Choose pairs, chosen and rejected completions of a prompt, from a fit by a named policy, in SQL.

best-worst      the completions with the highest and the lowest posterior mean
all             every pair of a prompt's completions
adjacent        neighbours in the order of posterior means
uncertain-band  pairs whose p is within a band, neither certain nor open

Only completions that received a signal take part, unless the recipe says `unjudged`. Every chooser of
pairs (this file, `policies` and `from_edits`) makes the temporary table `candidates`; `settle_pairs` selects
among them, and counts the others by reason. No row passes through Python: there may be ten million.
"""

from ....schemas.derive import derive_absent_sql
from ....schemas.errors import RecipeError
from ....schemas.keys import hash_key_sql
from ....schemas.published import ALONE, FIT, OF_A_FIT
from ....schemas.recipe import Recipe
from ....schemas.tables import COUNTS, SIGNALS
from ...store.connection import Store, run
from ...store.temporary import make
from ...store.where import match_sources
from ..steps import CANDIDATES, PAIRS, SCORES
from .eligible import check_rule

_POLICIES = {
    "best-worst": "a.best = 1 AND b.worst = 1 OR a.worst = 1 AND b.best = 1",
    "all": "true",
    "adjacent": "abs(a.best - b.best) = 1",
    "uncertain-band": "greatest(p.p, 1 - p.p) BETWEEN $low AND $high",
}

# Texts that differ in case, spacing or Unicode form alone are equal.
NORMAL = "lower(trim(regexp_replace(nfc_normalize({0}), '[\\s\\pZ]+', ' ', 'g')))".format

# Groups that differ in spacing or Unicode form alone are one; spaces of every script count.
_GROUP = """trim(regexp_replace(nfc_normalize(q."group"), '[\\s\\pZ]+', ' ', 'g'))"""


def find_group_sql(recipe: Recipe) -> str:
    """Write the SQL expression of a prompt's group (`q`).

    `gec_groups` has those of a recipe from edits, `joined_groups` which of these are one because they share a
    learner, where rows say something of learners.
    """
    own = find_own_group_sql(recipe)
    if not recipe.learner_context:
        return own
    return f"""coalesce((SELECT j."group" FROM joined_groups j WHERE j.own = {own}), {own})"""


def find_own_group_sql(recipe: Recipe) -> str:
    """Write the SQL expression of a prompt's group (`q`), whoever its learner is."""
    widened = """(SELECT g."group" FROM gec_groups g WHERE g.prompt = q.key)"""
    return f"coalesce({widened}, {_GROUP})" if recipe.corrections else _GROUP


SPLITS = ("train", "validation", "test")
COIN_FLIP = "coin flip"
NOT_ELIGIBLE = "not eligible by the recipe"

_READ = "SELECT 1 FROM fits WHERE key = $fit AND json_exists(config, '$.text')"

NO_FIT = derive_absent_sql((*OF_A_FIT, FIT))
"""Columns of CANDIDATES, as SQL, for a chooser that needs no fit."""

# Signals of a pair: comparisons of the two, and other signals about either.
_N_OF_A_PAIR = ", ".join(
    f"coalesce({s.name}.n, 0) AS {s.count}" if s.compares else f"a.{s.count} + b.{s.count} AS {s.count}"
    for s in SIGNALS
)
_COMPARISONS = "".join(
    f"""
LEFT JOIN (SELECT least({", ".join(s.completions)}) AS a, greatest({", ".join(s.completions)}) AS b,
    count(*) AS n FROM {s.name} GROUP BY ALL) {s.name} ON {s.name}.a = least(p.completion_a, p.completion_b)
    AND {s.name}.b = greatest(p.completion_a, p.completion_b)"""
    for s in SIGNALS
    if s.compares
)

_JUDGED = f"""
WITH ranked AS (
    SELECT e.completion, c.prompt, {", ".join(f"e.{count}" for count in COUNTS)},
        {" + ".join(f"e.{count}" for count in COUNTS)} > 0 OR ($unjudged AND e.basis = 'text') AS judged,
        row_number() OVER (PARTITION BY c.prompt, judged ORDER BY e.mean DESC, e.completion) AS best,
        row_number() OVER (PARTITION BY c.prompt, judged ORDER BY e.mean, e.completion DESC) AS worst
    FROM effectiveness e JOIN completions c ON c.key = e.completion WHERE e.fit = $fit
)
SELECT p.prompt, if(p.p >= 0.5, a.completion, b.completion) AS chosen,
    if(p.p >= 0.5, b.completion, a.completion) AS rejected, 'fit' AS made,
    greatest(p.p, 1 - p.p) AS p,
    if(p.p >= 0.5, p.p_expressed, 1 - p.p_expressed) AS p_expressed,
    if(p.p >= 0.5, p.p_observed, 1 - p.p_observed) AS p_observed,
    if(p.p >= 0.5, p.p_vote, 1 - p.p_vote) AS p_vote,
    if(p.p >= 0.5, p.p_panel, 1 - p.p_panel) AS p_panel,
    p.sd, p.basis, {_N_OF_A_PAIR}, $fit AS fit,
    CASE WHEN NOT (a.judged AND b.judged) THEN 'a completion without signals'
        WHEN NOT ({{policy}}) THEN 'not picked by the policy' END AS dropped
FROM preferences p JOIN ranked a ON a.completion = p.completion_a
JOIN ranked b ON b.completion = p.completion_b{_COMPARISONS}
WHERE p.fit = $fit"""

_SETTLED = """
WITH known AS (
    SELECT c.* RENAME (dropped AS why, chosen AS chosen_completion, rejected AS rejected_completion),
        q.task, {group} AS "group", q.language, q.source AS prompt_source,
        a.source AS chosen_source, b.source AS rejected_source,
        trim(a.content) = '' OR trim(b.content) = '' AS untold, {text_a} = {text_b} AS equal,
        length(a.content) AS chosen_length, length(b.content) AS rejected_length{scores}
    FROM candidates c JOIN prompts q ON q.key = c.prompt
    JOIN completions a ON a.key = c.chosen LEFT JOIN completions b ON b.key = c.rejected{scored}
    WHERE ($task IS NULL OR q.task = $task)
        AND {of_sources}
)
SELECT * EXCLUDE (why, untold, equal, chosen_length, rejected_length{not_scores}), {key} AS key,
    {split} AS split, {part} AS part,
    CASE WHEN why IS NOT NULL THEN why
        WHEN untold THEN 'text not published'
        WHEN equal THEN 'equal texts'
        {rule}
        WHEN p < $confidence THEN '{flip}'
    END AS dropped
FROM known"""

# One score of each rated completion, and the criteria it is made of. Ratings are counted first, and few terms
# are added in a fixed order: a sum of doubles would depend on the order in which threads bring them.
_SCORED = """
WITH counted AS (
    SELECT r.completion, r.criterion, r.source, count(*) AS n, coalesce(u.weight, 1) AS weight,
        coalesce(from_json(u.scores, '["DOUBLE"]')[r.value],
            if(coalesce(u.higher_is_better, true), r.value - 1, r.levels - r.value) / (r.levels - 1)
        ) AS share
    FROM ratings r LEFT JOIN rubrics u ON u.source = r.source AND u.criterion = r.criterion
    WHERE r.levels > 1 GROUP BY r.completion, r.criterion, r.source, r.value, r.levels, u.weight, u.scores,
        u.higher_is_better
), criteria AS (
    SELECT completion, criterion, arg_min(weight, source) AS weight,
        list_sum(list(share * n ORDER BY share, n)) / sum(n) AS share
    FROM counted GROUP BY completion, criterion
)
SELECT completion,
    list_sum(list(weight * share ORDER BY criterion)) / list_sum(list(weight ORDER BY criterion)) AS score,
    list(criterion ORDER BY criterion) AS criteria
FROM criteria GROUP BY completion HAVING sum(weight) > 0"""


def choose_judged(con: Store, fit: str, recipe: Recipe) -> None:
    """Make `candidates` from the pairs of a fit (its whole key), the better side chosen.

    Raises RecipeError if the recipe takes answers that nobody judged, and the fit has read no texts.
    """
    pairs = recipe.pairs
    given: dict[str, str | float] = {"fit": fit, "unjudged": pairs.unjudged}
    if pairs.unjudged and not run(con, _READ, {"fit": fit}):
        raise RecipeError(
            f"recipe '{recipe.name}': pairs.unjudged needs a fit that has read texts, and {fit[:8]} has not: "
            "run preceptor fuse --text, or leave it out"
        )
    if pairs.policy == "uncertain-band":
        given |= {"low": pairs.band[0], "high": pairs.band[1]}
    make(con, CANDIDATES, _JUDGED.format(policy=_POLICIES[pairs.policy]), given)


def make_scores(con: Store) -> None:
    """Make `scores`: the summary score of each rated completion, 0 to 1."""
    make(con, SCORES, _SCORED)


def settle_pairs(con: Store, recipe: Recipe) -> dict[str, int]:
    """Make `pairs` from `candidates`; return the number of dropped pairs by reason.

    A pair that the recipe's rule drops is not counted as a coin flip.
    Raises RecipeError if the rule is not an expression of the known columns.
    """
    rule = recipe.pairs.eligible
    given = {"task": recipe.task, "sources": recipe.sources, "confidence": recipe.pairs.min_confidence}
    eligible = f"coalesce(({check_rule(con, rule)})::BOOLEAN, false)" if rule else ""
    if rule:
        make_scores(con)
    make(
        con,
        PAIRS,
        _SETTLED.format(
            group=find_group_sql(recipe),
            text_a=NORMAL("a.content"),
            text_b=NORMAL("b.content"),
            scores=", ra.score AS chosen_score, rb.score AS rejected_score" if rule else "",
            not_scores=", chosen_score, rejected_score" if rule else "",
            scored=""" LEFT JOIN scores ra ON ra.completion = c.chosen
            LEFT JOIN scores rb ON rb.completion = c.rejected"""
            if rule
            else "",
            of_sources=match_sources("q.source"),
            key=hash_key_sql(("prompt", "chosen_completion", "rejected_completion")),
            split=assign_split_sql(recipe),
            part=assign_part_sql(recipe),
            flip=COIN_FLIP,
            rule=f"WHEN NOT {eligible} THEN '{NOT_ELIGIBLE}'" if rule else "",
        ),
        given,
    )
    counts = run(con, "SELECT dropped, count(*) FROM pairs WHERE dropped IS NOT NULL GROUP BY 1 ORDER BY 1")
    return dict(counts)


def assign_split_sql(recipe: Recipe) -> str:
    """Write the SQL expression of a group's split: by a hash of its name, so new groups move no old one."""
    share = _hash_sql(f"{recipe.splits.seed}:")
    train = recipe.splits.train
    return (
        f"CASE WHEN {share} < {train} THEN 'train' "
        f"WHEN {share} < {train + recipe.splits.validation} THEN 'validation' ELSE 'test' END"
    )


def assign_part_sql(recipe: Recipe) -> str:
    """Write the SQL expression of a group's use: sft, preference or both.

    Groups of validation and test are for both, since nothing is trained on them.
    """
    if recipe.splits.shared or "sft" not in recipe.configs:
        return "'both'"
    if set(recipe.configs) <= {"sft", *ALONE}:
        return "'sft'"
    sft = f"{_hash_sql(f'{recipe.splits.seed}:sft:')} < {recipe.splits.sft}"
    split = assign_split_sql(recipe)
    return f"CASE WHEN {split} <> 'train' THEN 'both' WHEN {sft} THEN 'sft' ELSE 'preference' END"


def _hash_sql(salt: str) -> str:
    """Write an SQL number from 0 to 1 that depends on the salt and the group's name."""
    return f"""('0x' || left(md5('{salt}' || "group"), 13))::UBIGINT / pow(2, 52)"""
