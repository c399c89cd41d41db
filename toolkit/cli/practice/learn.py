"""`preceptor learn`: what learners have mastered and what they remember."""

import click

from ..options import Common, add_source_option, common, make_table, open_stderr, open_stdout

HELP = """Fit the learner models to the reviews of the store.

Mastery: the probability that a learner answers a question of a skill right, with a 90 % interval, after
every answer so far. Memory: the probability that a learner still knows a card, and when it is due. Both
foretell each answer from those before it; `preceptor recommend` and `preceptor learner` use them.

A log tells of mastery if its items have skills, or if it has no times; of memory if it has times.
"""


@click.command(help=HELP)
@add_source_option("Source with reviews to learn from. May be repeated. Default: all.")
@click.option(
    "--steps",
    type=click.IntRange(1),
    default=40,
    show_default=True,
    help="Steps of the search for the mastery model's parameters.",
)
@common
def learn(settings: Common, steps: int, sources: tuple[str, ...]) -> None:
    """Fit the learner models and print what they are made of."""
    from ....schemas.support.numbers import format_count
    from ...practice.learners.learn import LearnSettings
    from ...practice.learners.learn import learn as run_learn
    from ...store.connection import open_store
    from ..progress import show_bar

    with open_store(settings.store) as con, show_bar("learn", open_stderr()) as update:
        done = run_learn(con, sources, LearnSettings(steps), lambda _, n, of: update(n, of))
    out, err = open_stdout(), open_stderr()
    things = {"mastery": "skills met", "memory": "cards"}
    rows = [
        (
            part.kind,
            f"{part.answers:,}",
            f"{part.learners:,}",
            f"{part.things:,} {things[part.kind]}",
            f"{part.loss:.4f}",
            part.fit[:8] + (" (already there)" if part.already_there else ""),
        )
        for part in done.parts
    ]
    out.print(make_table("learners", ("model", "answers ", "learners ", "of", "log-loss ", "fit"), rows))
    if done.offsets:
        count = format_count(done.offsets, "outcome")
        out.print(f"{count} known beside what they owe to their learners' ability; fuse takes that off")
    for note in done.notes:
        err.print(f"note: {note}")
