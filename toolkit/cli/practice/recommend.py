"""`preceptor recommend LEARNER`: what a learner should do next, and why."""

import click

from ..options import Common, common, make_table, open_stdout
from .learner import PSEUDONYM, name_learner


@click.command()
@click.argument("learner")
@click.option("--n", type=click.IntRange(1), default=10, show_default=True, help="Number of items.")
@click.option("--because", is_flag=True, help="Say the reason for each item in words.")
@click.option("--seed", type=int, default=0, show_default=True, help="Random seed of the items that explore.")
@click.option(
    "--rest-days",
    type=click.FloatRange(0),
    default=2.0,
    show_default=True,
    help="Days before an item is asked again, unless it is due.",
)
@click.option(
    "--explore",
    type=click.FloatRange(0, 1),
    default=0.1,
    show_default=True,
    help="Share of items chosen to find out what is not known of the learner.",
)
@PSEUDONYM
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
@common
def recommend(
    settings: Common,
    learner: str,
    n: int,
    because: bool,
    seed: int,
    rest_days: float,
    explore: float,
    is_pseudonym: bool,
    as_json: bool,
) -> None:
    """Recommend what LEARNER should do next, by what `preceptor learn` has found.

    Items are those of logs with skills, exercises, and cards that are due. Each comes with the probability
    that the answer is right, and by how much one answer should raise it. A learner of whom nothing is known
    gets what others gain from.
    """
    import json
    from dataclasses import asdict

    from ...practice.learners.recommend import Wishes
    from ...practice.learners.recommend import recommend as run_recommend
    from ...store.connection import open_store

    with open_store(settings.store, read_only=True) as con:
        who = name_learner(con, learner, is_pseudonym)
        wishes = Wishes(n=n, seed=seed, rest_days=rest_days, explore=explore)
        found = run_recommend(con, who, wishes)
    out = open_stdout()
    if as_json:
        out.print(json.dumps([asdict(one) for one in found], ensure_ascii=False), soft_wrap=True)
        return
    columns = ("item", "skills", "P(right) ", "90 % ", "gain ", *(("because",) if because else ()))
    rows = [
        (
            one.item,
            ", ".join(one.skills),
            f"{one.p:.2f}",
            f"{one.low:.2f}–{one.high:.2f}",
            f"{one.gain:+.3f}",
            *((one.because,) if because else ()),
        )
        for one in found
    ]
    out.print(make_table("what to do next", columns, rows))
