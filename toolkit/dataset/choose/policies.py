"""Choose pairs without annotators and fit, by the source's own marks of the better completion.

expert-over-novice         an expert's reply over a novice's to the same mistake (Bridge)
right-over-wrong           a right solution over a wrong one, both by models (GSM8K)
probing-over-telling       a teacher's question over telling what to do: the next telling turn of the
                           same dialogue, said too early, else the first one of another dialogue about
                           the same problem and attempt (MathDial)
matching-over-mismatching  the reference's turn over a model's whose evaluation, action or state
                           differ, or that is no complete JSON (SPOCK)
rubric-dominance           a reply rated at least as well on every criterion and better on one (MRBench)
best-over-worst-score      of a prompt's rated completions the one with the highest summary score over
                           the one with the lowest

Each is a SELECT of prompt, chosen, rejected (keys), made (why, for the counts) and dropped (why
not, or null).
"""

from ....schemas.recipe import Recipe
from ...ingest.files.tutor_turn import read_state_sql
from ...store.connection import Store
from ...store.temporary import make
from ...store.where import match_sources
from ..steps import CANDIDATES
from .pairs import NO_FIT, make_scores

_SAME_ROW = """
SELECT a.prompt, a.key AS chosen, b.key AS rejected, $policy AS made, NULL::VARCHAR AS dropped
FROM completions a JOIN completions b ON b.prompt = a.prompt AND b.path = a.path AND b.line = a.line
WHERE {0}""".format

_MOVES = f"""
WITH moves AS (
    SELECT c.key, c.prompt, c.path, c.line, q."group", q.source,
        string_split(c.ref, '-')[-1]::BIGINT AS nth, from_json(c.context->'act', '["VARCHAR"]') AS acts
    FROM completions c JOIN prompts q ON q.key = c.prompt
    WHERE (c.context->'act') IS NOT NULL AND ($task IS NULL OR q.task = $task)
        AND {match_sources("q.source")}
), asking AS (FROM moves WHERE len(list_filter(acts, lambda a: a NOT IN ('probing', 'focus'))) = 0),
telling AS (FROM moves WHERE list_distinct(acts) = ['telling']),
ranked AS (
    SELECT a.prompt, a.key AS chosen, t.key AS rejected, row_number() OVER (PARTITION BY a.key ORDER BY
        t.path = a.path AND t.line = a.line DESC NULLS LAST, t.nth, t.path, t.line) AS rank
    FROM asking a LEFT JOIN telling t ON t.source = a.source AND t."group" = a."group"
        AND (t.path <> a.path OR t.line <> a.line OR t.nth > a.nth)
)
SELECT prompt, chosen, rejected, $policy AS made,
    CASE WHEN rejected IS NULL THEN 'no telling turn about the problem' END AS dropped
FROM ranked WHERE rank = 1"""

_STATES = f"""
WITH gold AS (
    SELECT key, prompt, context FROM completions WHERE (context->>'evaluation') IS NOT NULL
        AND (context->>'action') IS NOT NULL AND (context->>'state') IS NOT NULL
), answers AS (
    SELECT g.key AS chosen, g.context AS gold, c.key AS rejected, c.prompt, {read_state_sql("c.content")} AS s
    FROM gold g JOIN completions c ON c.prompt = g.prompt AND c.key <> g.key AND c.origin = 'model'
    WHERE c.source <> (SELECT source FROM completions WHERE key = g.key)
)
SELECT prompt, chosen, rejected,
    CASE WHEN NOT s.valid THEN 'invalid JSON' WHEN NOT s.complete THEN 'incomplete JSON'
        WHEN s.evaluation IS DISTINCT FROM (gold->>'evaluation') THEN 'another evaluation'
        WHEN s.action IS DISTINCT FROM (gold->>'action') THEN 'another action'
        ELSE 'another state' END AS made,
    CASE WHEN s.valid AND s.complete AND s.evaluation = (gold->>'evaluation')
        AND s.action = (gold->>'action') AND s.state = (gold->>'state')
        THEN 'the same tutor state' END AS dropped
FROM answers"""

_RATED = """
WITH means AS (
    SELECT r.completion, r.criterion, avg(r.value) * if(coalesce(u.higher_is_better, true), 1, -1) AS mean
    FROM ratings r LEFT JOIN rubrics u ON u.source = r.source AND u.criterion = r.criterion
    WHERE len($criteria) = 0 OR list_contains($criteria, r.criterion)
    GROUP BY r.completion, r.criterion, u.higher_is_better
), rated AS (
    SELECT c.prompt, c.key, map_from_entries(list((m.criterion, m.mean) ORDER BY m.criterion)) AS means
    FROM means m JOIN completions c ON c.key = m.completion GROUP BY c.prompt, c.key
), compared AS (
    SELECT a.prompt, a.key AS a, b.key AS b, map_keys(a.means) = map_keys(b.means) AS comparable,
        list_transform(list_zip(map_values(a.means), map_values(b.means)), lambda z: sign(z[1] - z[2]))
            AS signs
    FROM rated a JOIN rated b ON b.prompt = a.prompt AND b.key > a.key
), judged AS (
    SELECT *, list_contains(signs, 1) AS up, list_contains(signs, -1) AS down FROM compared
)
SELECT prompt, if(down, b, a) AS chosen, if(down, a, b) AS rejected, $policy AS made,
    CASE WHEN NOT comparable THEN 'rated on other criteria' WHEN up AND down THEN 'neither dominates'
        WHEN NOT up AND NOT down THEN 'rated equally' END AS dropped
FROM judged"""

# Ends of a prompt's order by score; equal scores by key, so that the order is always the same.
_SCORED = """
WITH rated AS (
    SELECT c.prompt, s.completion, s.score, s.criteria,
        row_number() OVER (PARTITION BY c.prompt ORDER BY s.score DESC, s.completion) AS best,
        row_number() OVER (PARTITION BY c.prompt ORDER BY s.score, s.completion DESC) AS worst
    FROM scores s JOIN completions c ON c.key = s.completion
)
SELECT a.prompt, a.completion AS chosen, b.completion AS rejected, $policy AS made,
    CASE WHEN a.criteria <> b.criteria THEN 'rated on other criteria'
        WHEN a.score = b.score THEN 'rated equally' END AS dropped
FROM rated a JOIN rated b ON b.prompt = a.prompt AND b.completion <> a.completion
WHERE a.best = 1 AND b.worst = 1"""

MARKED = {
    "expert-over-novice": _SAME_ROW("a.author = 'expert' AND b.author = 'novice'"),
    "right-over-wrong": _SAME_ROW("""a.origin = b.origin AND (a.context->>'right')::BOOLEAN
        AND NOT (b.context->>'right')::BOOLEAN"""),
    "probing-over-telling": _MOVES,
    "matching-over-mismatching": _STATES,
    "rubric-dominance": _RATED,
    "best-over-worst-score": _SCORED,
}


MEANINGS = {
    "expert-over-novice": "Chosen: the reply that an expert wrote. Rejected: the novice tutor's own reply in "
    "the same place.",
    "right-over-wrong": "Chosen: a solution that the source marks as right. Rejected: one that it marks as "
    "wrong, of the same problem and also written by a model.",
    "probing-over-telling": "Chosen: a teacher's question. Rejected: a turn that tells what to do, said "
    "later in the same dialogue or in another one about the same problem and attempt.",
    "matching-over-mismatching": "Chosen: the reference's turn. Rejected: a model's whose evaluation, action "
    "or state differ, or that is no complete JSON.",
    "rubric-dominance": "Chosen: a reply rated at least as well on every criterion and better on one.",
    "best-over-worst-score": "Chosen: of the prompt's rated completions the one whose summary score is "
    "highest. Rejected: the one whose score is lowest.",
}


def choose_marked(con: Store, recipe: Recipe) -> None:
    """Make `candidates` by the recipe's policy, one of MARKED."""
    select = MARKED[recipe.pairs.policy]
    if recipe.pairs.policy == "best-over-worst-score":
        make_scores(con)
    given = {
        "policy": recipe.pairs.policy,
        "criteria": recipe.pairs.criteria,
        "task": recipe.task,
        "sources": recipe.sources,
    }
    make(
        con,
        CANDIDATES,
        f"SELECT *, {NO_FIT} FROM ({select})",
        {name: value for name, value in given.items() if f"${name}" in select},
    )
