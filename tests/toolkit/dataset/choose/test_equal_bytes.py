"""The same rows give the same pairs, whatever their order and however many threads read them."""

import pytest

from preceptor.schemas.recipe import Recipe
from preceptor.schemas.tables import COMPLETIONS, PROMPTS, RATINGS, RUBRICS
from preceptor.toolkit.dataset.build import gather
from preceptor.toolkit.store.connection import insert_select, open_store, run

N_PROMPTS, N_RATINGS = 400, 500  # 400,000 ratings are several row groups


@pytest.fixture(scope="module")
def rated(tmp_path_factory):
    """A store of ratings over several row groups; the numbers are the same in both answers of a prompt."""
    path = tmp_path_factory.mktemp("rated") / "s.duckdb"
    with open_store(path, create=True) as con:
        _fill(con)
    return path


def _fill(con):
    for table, select in (
        (
            PROMPTS,
            """SELECT 's' AS source, NULL AS ref, 'qa' AS task, 'en' AS language, 'g' || i AS "group",
            [{'role': 'user', 'content': 'question ' || i}] AS messages, NULL AS context, 'p' AS path,
            i AS line FROM range($prompts) r(i) WHERE $ratings > 0""",
        ),
        (
            COMPLETIONS,
            """SELECT 's' AS source, 'c' || i AS ref, p.key AS prompt, 'answer ' || i AS content,
            'model' AS origin, NULL AS author, NULL AS context, 'p' AS path, i AS line
            FROM range(2 * $prompts) r(i) JOIN prompts p ON p.line = i // 2 WHERE $ratings > 0""",
        ),
        (
            RATINGS,
            """SELECT 's' AS source, c.key AS completion, 'c' || (k % 5) AS criterion,
            (hash(k, c.line // 2) % 7 + 1)::BIGINT AS value, 7 AS levels, NULL AS annotator, NULL AS "at",
            0 AS n, 'p' AS path, c.line * 1000 + k AS line
            FROM completions c, range($ratings) b(k) WHERE $prompts > 0 ORDER BY hash(c.line, k)""",
        ),
        (
            RUBRICS,
            """SELECT 's' AS source, 'c' || k AS criterion, NULL AS wording, 7 AS levels,
            true AS higher_is_better, 0.1 + k * 0.07 AS weight, NULL AS scores
            FROM range(5) t(k) WHERE $prompts + $ratings > 0""",
        ),
    ):
        insert_select(con, table, select, {"prompts": N_PROMPTS, "ratings": N_RATINGS})


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("policy", ["best-over-worst-score", "rubric-dominance"])
def test_the_same_ratings_in_another_order_are_equal(rated, policy, threads):
    with open_store(rated) as con:
        run(con, f"SET threads = {threads}")
        _, dropped = gather(con, Recipe.model_validate({"name": "r", "pairs": {"policy": policy}}))
    assert dropped["rated equally"] == N_PROMPTS
