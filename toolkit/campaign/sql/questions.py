"""Select candidates for questions, best first, in SQL: pairs of completions of one prompt, or single ones.

Each candidate has prompt, completion_a, completion_b (null if one is rated alone), the worth of the next
answer, nth (number of better candidates of its prompt) and draw (a seeded hash that breaks ties). Left out
are texts that are not published, pairs of equal texts, a second pair with the same two texts, and the
campaign's present questions.
"""

from ...dataset.choose.pairs import NORMAL
from ...store.where import match_where

SURE = 0.95  # a known answer is at least this probable
MANY_VOTES = 5  # votes that either completion of a known pair took part in
DISCOUNT = (
    0.8  # each further question about a prompt counts a fifth less: part of its information is known already
)

_DRAW = "md5($seed || ':' || completion_a || ':' || coalesce(completion_b, ''))"

# Votes on a completion, counting a question that is still open as one.
_HEARD = """
heard AS (
    SELECT completion, count(*) AS n FROM (
        SELECT completion_a AS completion FROM votes UNION ALL SELECT completion_b FROM votes
        UNION ALL SELECT completion_a FROM unheard UNION ALL SELECT completion_b FROM unheard)
    GROUP BY completion
)"""
_RATED = """
heard AS (
    SELECT completion, count(*) AS n FROM (
        SELECT completion FROM ratings UNION ALL SELECT completion_a FROM unheard) GROUP BY completion
)"""

# A round-robin tournament: completions of a prompt are in a seeded order, and the pairs of a round
# share no completion, so that a prompt's first pairs cover all of them.
_ALL_PAIRS = """
placed AS (
    SELECT key, prompt, row_number() OVER w AS place, count(*) OVER (PARTITION BY prompt) AS places
    FROM texts
    WINDOW w AS (PARTITION BY prompt ORDER BY md5($seed || key))
), every AS (
    SELECT a.prompt, least(a.key, b.key) AS completion_a, greatest(a.key, b.key) AS completion_b,
        a.places - (a.places + 1) % 2 AS rounds,
        (a.place + if(b.place > rounds, a.place, b.place)) % rounds AS round
    FROM placed a JOIN placed b ON b.prompt = a.prompt AND b.place > a.place
)"""

_FITTED = (
    "SELECT prompt, completion_a, completion_b, {worth} AS worth, 0 AS round FROM preferences "
    "WHERE fit = $fit AND {worth} > 0"
)
_COUNTED = """SELECT e.*, -(coalesce(a.n, 0) + coalesce(b.n, 0))::DOUBLE AS worth FROM every e
    LEFT JOIN heard a ON a.completion = completion_a LEFT JOIN heard b ON b.completion = completion_b"""
_SINGLE = """SELECT c.prompt, c.key AS completion_a, NULL::VARCHAR AS completion_b, {worth} AS worth,
    0 AS round FROM completions c {join}"""

PAIRS = {
    "information": ("", _FITTED.format(worth="information_gain")),
    "uncertain": ("", _FITTED.format(worth="4 * p * (1 - p)")),
    "coverage": (f"{_ALL_PAIRS}, {_HEARD},", _COUNTED),
    "random": (f"{_ALL_PAIRS},", "SELECT *, 0.0 AS worth FROM every"),
}
_JUDGED = "JOIN effectiveness e ON e.completion = c.key AND e.fit = $fit"
_BY_SD = ("", _SINGLE.format(worth="e.expressed_sd", join=_JUDGED))
SINGLES = {
    "information": _BY_SD,
    "uncertain": _BY_SD,
    "coverage": (
        f"{_RATED},",
        _SINGLE.format(worth="-coalesce(h.n, 0)::DOUBLE", join="LEFT JOIN heard h ON h.completion = c.key"),
    ),
    "random": ("", _SINGLE.format(worth="0.0", join="")),
}
_ORDER = {
    "information": f"worth * pow({DISCOUNT}, nth) DESC, draw",
    "uncertain": f"worth * pow({DISCOUNT}, nth) DESC, draw",
    "coverage": "worth DESC, nth, draw",
    "random": "draw",
}

# Prompts to ask about, and questions whose answers are not yet in the store, or in the fit of $since.
SELECT_ASKED_ABOUT = f"""SELECT key FROM prompts
    WHERE {match_where()}
    AND trim(messages[-1].content) <> ''"""
# Their completions whose texts are published; equal texts have the same mark.
SELECT_TEXTS = f"""SELECT key, prompt, md5({NORMAL("content")}) AS text FROM completions
    WHERE prompt IN (FROM asked_about) AND trim(content) <> ''"""
SELECT_UNHEARD = """SELECT * FROM questions
    WHERE purpose = 'ask' AND key NOT IN (SELECT question FROM answers WHERE superseded_at IS NULL
        AND ($since::TIMESTAMPTZ IS NULL OR "at" <= $since))"""


def make_candidates_sql(select: str, pairs: bool) -> str:
    """Write the SELECT of the $missing best candidates, in the order of asking."""
    common, best = (PAIRS if pairs else SINGLES)[select]
    # Pairs asked since a fit, in any campaign, are left out until a new fit has their answers.
    elsewhere = (
        "" if select in ("coverage", "random") else "UNION ALL SELECT completion_a, completion_b FROM unheard"
    )
    texts = "a.text AS one, b.text AS two" if pairs else "a.text AS one, '' AS two"
    other = "JOIN texts b ON b.key = w.completion_b" if pairs else ""
    return f"""
WITH {common} best AS ({best}), taken AS (
    SELECT least(completion_a, completion_b) AS a, greatest(completion_a, completion_b) AS b FROM (
        SELECT completion_a, completion_b FROM questions WHERE source = $campaign {elsewhere}
        UNION ALL SELECT completion_a, completion_b FROM golden)
), shown AS (
    SELECT w.*, {texts}, {_DRAW} AS draw FROM best w JOIN texts a ON a.key = w.completion_a {other}
), fresh AS (
    SELECT s.* FROM shown s WHERE one <> two AND NOT EXISTS (FROM taken t
        WHERE t.a = least(s.completion_a, s.completion_b) AND t.b = greatest(s.completion_a, s.completion_b))
    QUALIFY row_number() OVER (PARTITION BY prompt, least(one, two), greatest(one, two)
        ORDER BY worth DESC, draw) = 1
), already AS (SELECT prompt, count(*) AS n FROM unheard WHERE source = $campaign GROUP BY prompt),
ranked AS (
    SELECT f.*, coalesce(n, 0)
        + row_number() OVER (PARTITION BY f.prompt ORDER BY worth DESC, round, draw) - 1 AS nth
    FROM fresh f LEFT JOIN already ON already.prompt = f.prompt
)
SELECT prompt, completion_a, completion_b FROM ranked ORDER BY {_ORDER[select]} LIMIT $missing"""


# Pairs whose better side is known: by a converged fit of many votes, or by the source's marks.
SELECT_GOLDEN = f"""
WITH sure AS (
    SELECT p.prompt, p.completion_a, p.completion_b, if(p_expressed > 0.5, 'a', 'b') AS expected
    FROM preferences p
    JOIN effectiveness a ON a.fit = p.fit AND a.completion = p.completion_a
    JOIN effectiveness b ON b.fit = p.fit AND b.completion = p.completion_b
    WHERE p.fit = $fit AND greatest(p_expressed, 1 - p_expressed) > {SURE}
        AND least(a.n_votes, b.n_votes) >= {MANY_VOTES}
), marked AS (
    SELECT r.prompt, least(r.key, w.key) AS completion_a, greatest(r.key, w.key) AS completion_b,
        if(r.key < w.key, 'a', 'b') AS expected
    FROM completions r JOIN completions w ON w.prompt = r.prompt
    WHERE (r.context->>'right') = 'true' AND (w.context->>'right') = 'false'
), known AS (
    SELECT k.*, {_DRAW} AS draw
    FROM (SELECT prompt, completion_a, completion_b, arg_min(expected, rank) AS expected
        FROM (SELECT *, 2 AS rank FROM sure UNION ALL SELECT *, 1 AS rank FROM marked)
        GROUP BY prompt, completion_a, completion_b) k
    JOIN texts a ON a.key = k.completion_a JOIN texts b ON b.key = k.completion_b
    WHERE a.text <> b.text AND NOT EXISTS (FROM questions q WHERE q.source = $campaign
            AND least(q.completion_a, q.completion_b) = k.completion_a
            AND greatest(q.completion_a, q.completion_b) = k.completion_b)
)
SELECT prompt, completion_a, completion_b, expected FROM known
ORDER BY row_number() OVER (PARTITION BY prompt ORDER BY draw), draw LIMIT $missing"""
