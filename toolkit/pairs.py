"""Pairs: chosen and rejected completions of a prompt from a fit, by a named policy, in SQL.

best-worst  the completions with the highest and the lowest posterior mean
all         every pair of a prompt's completions

Only completions that received a signal take part; coin flips and pairs of equal text are dropped.
What is dropped is counted. Policies that need no fit are in `policies.py`.
"""

import polars as pl

from ..schemas.keys import key_sql
from ..schemas.recipe import Recipe
from .store import Store, query

_POLICIES = {
    "best-worst": """a.best = 1 AND b.worst = 1 OR a.worst = 1 AND b.best = 1""",
    "all": "true",
}

# The same text in other case, spacing or Unicode form is the same text.
NORMAL = "lower(trim(regexp_replace(nfc_normalize({0}), '\\s+', ' ', 'g')))".format

SPLITS = ("train", "validation", "test")


_JUDGED = """
WITH ranked AS (
    SELECT e.completion, c.prompt, c.content, c.source, e.n_ratings, e.n_outcomes,
        e.n_votes + e.n_ratings + e.n_outcomes > 0 AS judged,
        row_number() OVER (PARTITION BY c.prompt, e.n_votes + e.n_ratings + e.n_outcomes > 0
            ORDER BY e.mean DESC, e.completion) AS best,
        row_number() OVER (PARTITION BY c.prompt, e.n_votes + e.n_ratings + e.n_outcomes > 0
            ORDER BY e.mean, e.completion DESC) AS worst
    FROM effectiveness e JOIN completions c ON c.key = e.completion WHERE e.fit = $fit
), between AS (
    SELECT least(completion_a, completion_b) AS a, greatest(completion_a, completion_b) AS b,
        count(*) AS n FROM votes GROUP BY ALL
), oriented AS (
    SELECT p.prompt, q.task, q."group", q.messages, q.language, q.source, p.sd, 'fit' AS made,
        greatest(p.p, 1 - p.p) AS p,
        if(p.p >= 0.5, p.p_expressed, 1 - p.p_expressed) AS p_expressed,
        if(p.p >= 0.5, p.p_observed, 1 - p.p_observed) AS p_observed,
        if(p.p >= 0.5, a.completion, b.completion) AS chosen_completion,
        if(p.p >= 0.5, b.completion, a.completion) AS rejected_completion,
        if(p.p >= 0.5, a.content, b.content) AS chosen_content,
        if(p.p >= 0.5, b.content, a.content) AS rejected_content,
        coalesce(v.n, 0) AS n_votes,
        a.n_ratings + b.n_ratings AS n_ratings,
        a.n_outcomes + b.n_outcomes AS n_outcomes,
        CASE WHEN NOT (a.judged AND b.judged) THEN 'a completion without signals'
            WHEN NOT ({policy}) THEN 'not picked by the policy'
            WHEN '' IN (a.content, b.content) THEN 'text not published'
            WHEN {text_a} = {text_b} THEN 'equal texts'
            WHEN greatest(p.p, 1 - p.p) < $confidence THEN 'coin flip'
        END AS dropped
    FROM preferences p JOIN prompts q ON q.key = p.prompt
    JOIN ranked a ON a.completion = p.completion_a
    JOIN ranked b ON b.completion = p.completion_b
    LEFT JOIN between v ON v.a = least(p.completion_a, p.completion_b)
        AND v.b = greatest(p.completion_a, p.completion_b)
    WHERE p.fit = $fit AND ($task IS NULL OR q.task = $task)
        AND (len($sources) = 0 OR list_contains($sources, q.source))
)
"""


def choose_pairs(con: Store, fit: str, recipe: Recipe) -> tuple[pl.DataFrame, dict[str, int]]:
    """Pairs to keep, sorted by key, with their split; and how many were dropped, by reason.

    Columns: those of preference_meta, and messages, chosen_content, rejected_content, licenses, split.
    """
    policy = _POLICIES[recipe.pairs.policy]
    judged = query(
        con,
        f"""
        {_JUDGED.format(policy=policy, text_a=NORMAL("a.content"), text_b=NORMAL("b.content"))}
        SELECT *, {key_sql(("prompt", "chosen_completion", "rejected_completion"))} AS key,
            {split_sql(recipe)} AS split
        FROM oriented ORDER BY key""",
        {
            "fit": fit,
            "task": recipe.task,
            "sources": recipe.sources,
            "confidence": recipe.pairs.min_confidence,
        },
    )
    counts = judged["dropped"].drop_nulls().value_counts().sort("dropped")
    kept = judged.filter(pl.col("dropped").is_null()).drop("dropped")
    return with_sources(con, kept.with_columns(pl.lit(fit).alias("fit"))), dict(counts.rows())


def split_sql(recipe: Recipe) -> str:
    """A group's split from a hash of its name: a new group never moves an old one."""
    share = f"""('0x' || left(md5('{recipe.splits.seed}:' || "group"), 13))::UBIGINT / pow(2, 52)"""
    train = recipe.splits.train
    return (
        f"CASE WHEN {share} < {train} THEN 'train' "
        f"WHEN {share} < {train + recipe.splits.validation} THEN 'validation' ELSE 'test' END"
    )


def with_sources(con: Store, pairs: pl.DataFrame) -> pl.DataFrame:
    """Add the sources of a pair's texts and signals, and their licences, all of which apply."""
    con.register("pairs", pairs.select("key", "source", "chosen_completion", "rejected_completion"))
    try:
        involved = query(
            con,
            """
            WITH side AS (
                SELECT key, chosen_completion AS completion FROM pairs
                UNION ALL SELECT key, rejected_completion FROM pairs
            ), heard AS (
                SELECT completion_a AS completion, source FROM votes
                UNION SELECT completion_b, source FROM votes
                UNION SELECT completion, source FROM ratings
                UNION SELECT completion, source FROM outcomes
                UNION SELECT key, source FROM completions
            ), involved AS (
                SELECT key, source FROM pairs
                UNION SELECT side.key, heard.source FROM side JOIN heard USING (completion)
            )
            SELECT i.key, list(DISTINCT s.license ORDER BY s.license) AS licenses,
                array_to_string(list(DISTINCT s.license ORDER BY s.license), ' AND ') AS license,
                list(s.name ORDER BY s.name) AS sources
            FROM involved i JOIN sources s ON s.name = i.source GROUP BY i.key""",
        )
    finally:
        con.unregister("pairs")
    return pairs.join(involved, on="key", how="left", maintain_order="left")


def render_pairs(pairs: pl.DataFrame, recipe: Recipe) -> pl.DataFrame:
    """prompt, chosen and rejected in the recipe's format, with its instruction in the last turn."""
    return _render(pairs, recipe, {"chosen": "chosen_content", "rejected": "rejected_content"})


def render_examples(examples: pl.DataFrame, recipe: Recipe) -> pl.DataFrame:
    """Prompt and completion in the recipe's format, for training by imitation."""
    return _render(examples, recipe, {"completion": "chosen_content"})


def _render(rows: pl.DataFrame, recipe: Recipe, answers: dict[str, str]) -> pl.DataFrame:
    last = pl.col("messages").list.last().struct["content"]
    halves = {lang: recipe.wording(lang).split("{prompt}", 1) for lang in rows["language"].unique()}
    before, after = (
        pl.col("language").replace_strict({lang: half[i] for lang, half in halves.items()}, default="")
        for i in (0, 1)
    )
    worded = pl.concat_str(before, last, after)
    if recipe.format == "plain":
        return rows.select(worded.alias("prompt"), **{name: pl.col(text) for name, text in answers.items()})

    def turn(role: str, content: pl.Expr) -> pl.Expr:
        return pl.concat_list(pl.struct(pl.lit(role).alias("role"), content.alias("content")))

    head = pl.col("messages").list.head(pl.col("messages").list.len() - 1)
    return rows.select(
        pl.concat_list(head, turn("user", worded)).alias("prompt"),
        **{name: turn("assistant", pl.col(text)) for name, text in answers.items()},
    )
