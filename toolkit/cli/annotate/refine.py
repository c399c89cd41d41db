"""`preceptor rubric refine RUBRIC`: a rubric made to fit one's own data, with a model's advice."""

from pathlib import Path

import click

from ....schemas.support.numbers import format_count
from ..models.options import LIMITS, PRICES
from ..options import open_stderr, say


@click.command()
@click.argument("rubric")
@click.option(
    "--outputs",
    type=click.Path(path_type=Path, dir_okay=False),
    help='Prompts and completions as JSON Lines: {"prompt": "…", "completion": "…"}; completion '
    "may be left out.",
)
@click.option("--model", metavar="openai:NAME", help="Model at --base-url; openai: may be left out.")
@click.option(
    "--base-url",
    envvar="PRECEPTOR_BASE_URL",
    show_envvar=True,
    help="Address of an OpenAI-compatible endpoint, such as http://127.0.0.1:8000/v1.",
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the results of every step. Default: NAME-refined.",
)
@click.option(
    "--n",
    "-n",
    "n",
    type=click.IntRange(1, 200),
    default=10,
    show_default=True,
    help="Number of prompts to test the dimensions on.",
)
@LIMITS[0]
@LIMITS[1]
@PRICES
@click.option("--accept", is_flag=True, help="Accept the draft as you have edited it.")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="With --accept: rubric file to write."
)
def refine(
    rubric: str,
    outputs: Path | None,
    model: str | None,
    base_url: str | None,
    folder: Path | None,
    n: int,
    max_cost: float | None,
    max_requests: int | None,
    prices: Path | None,
    accept: bool,
    out: Path | None,
) -> None:
    """Adapt RUBRIC to your data: a model drafts and tests dimensions and advises; you decide.

    The first run writes draft.yaml, draft.md and advice.md to the folder. Read the advice, edit the draft,
    then run the command again with --accept --out FILE. A run that was stopped continues where it was; no
    request is sent twice. The API key is read from PRECEPTOR_API_KEY or OPENAI_API_KEY.
    """
    from ....annotation.rubrics.rubric import read_rubric

    base = read_rubric(rubric)
    place = folder or Path(f"{base.name}-refined")
    if accept:
        _accept(place, out)
        return
    if out:
        raise click.UsageError("--out belongs to --accept")
    if not (outputs and model):
        raise click.UsageError("--outputs and --model are needed (or --accept, to take the edited draft)")
    if model.startswith(("hf:", "hf-likelihood:")):
        raise click.UsageError(f"--model {model}: a rubric is refined by a model at an endpoint: openai:NAME")
    from ....annotation.models.backends.connection import make_endpoint
    from ....annotation.models.budget import Limits
    from ....annotation.models.prices import describe_cost, find_price, require_price
    from ....annotation.refine.budget import Budget
    from ....annotation.refine.outputs import read_outputs
    from ....annotation.refine.refine import refine_rubric

    tried = read_outputs(outputs, n)
    name = model.removeprefix("openai:")
    where = make_endpoint(base_url, name)
    price = find_price(name, prices)
    if max_cost is not None:
        require_price(model, price)
    budget = Budget(Limits(max_requests=max_requests, max_cost=max_cost), price)
    notices = open_stderr()
    done = refine_rubric(
        base,
        tried,
        where,
        place,
        given=rubric,
        say=notices.print,
        budget=budget,
    )
    sent, kept = format_count(done.sent, "request"), format_count(done.kept, "answer was", "answers were")
    cost = describe_cost(budget.ledger.spent if price else None, budget.ledger.unsure)
    say(f"{sent}, {done.tokens:,} tokens, {cost}; {kept} there already")
    wins = ", ".join(f"{side} {count}" for side, count in done.wins.items())
    say(f"dimensions: {', '.join(done.dimensions)}\nanswers written with them in view: {wins}")
    say(f"read {place / 'advice.md'}, edit {place / 'draft.yaml'} and draft.md, then:")
    say(f"preceptor rubric refine {rubric} --accept --folder {place} --out FILE.yaml")


def _accept(folder: Path, out: Path | None) -> None:
    from ....annotation.refine.refine import accept_rubric

    if out is None:
        raise click.UsageError("--accept needs --out FILE.yaml")
    rubric = accept_rubric(folder, out)
    say(f"written: {out} and {out.with_suffix('.md')} ({len(rubric.criteria)} criteria)")
