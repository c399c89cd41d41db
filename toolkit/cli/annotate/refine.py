"""`preceptor rubric refine RUBRIC`: a rubric made to fit one's own data, with a model's advice."""

from pathlib import Path

import click

from ..options import open_stderr


@click.command()
@click.argument("rubric")
@click.option(
    "--outputs",
    type=click.Path(path_type=Path, dir_okay=False),
    help='JSON Lines: {"prompt": "…", "completion": "…"}; completion may be left out.',
)
@click.option("--model", help="The model's name at the endpoint.")
@click.option(
    "--base-url",
    envvar="PRECEPTOR_BASE_URL",
    show_envvar=True,
    help="OpenAI-compatible endpoint, such as http://127.0.0.1:8000/v1.",
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where every step is kept; NAME-refined if left out.",
)
@click.option("--n", type=click.IntRange(1, 200), default=10, show_default=True, help="Prompts to try it on.")
@click.option("--accept", is_flag=True, help="Take the draft as you have edited it.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Of --accept: file to write.")
def refine(
    rubric: str,
    outputs: Path | None,
    model: str | None,
    base_url: str | None,
    folder: Path | None,
    n: int,
    accept: bool,
    out: Path | None,
) -> None:
    """Fit RUBRIC to your data: a model drafts dimensions, tries them and advises; you merge.

    First run: draft.yaml, draft.md and advice.md appear in the folder. Read the advice, edit the draft, then
    run it again with --accept --out FILE. A run that was stopped goes on where it was; no request is sent
    twice. The key is that of PRECEPTOR_API_KEY or OPENAI_API_KEY.
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
    from ....annotation.models.backends.endpoint import make_endpoint
    from ....annotation.refine.outputs import read_outputs
    from ....annotation.refine.refine import refine_rubric

    tried = read_outputs(outputs, n)
    notices = open_stderr()
    done = refine_rubric(
        base,
        tried,
        make_endpoint(base_url, model),
        place,
        given=rubric,
        say=lambda text: notices.print(text, markup=False),
    )
    click.echo(f"{done.sent} requests, {done.tokens:,} tokens; {done.kept} answers were there already")
    wins = ", ".join(f"{side} {count}" for side, count in done.wins.items())
    click.echo(f"dimensions: {', '.join(done.dimensions)}\nanswers written with them in view: {wins}")
    click.echo(f"read {place / 'advice.md'}, edit {place / 'draft.yaml'} and draft.md, then:")
    click.echo(f"preceptor rubric refine {rubric} --accept --folder {place} --out FILE.yaml")


def _accept(folder: Path, out: Path | None) -> None:
    from ....annotation.refine.refine import accept_rubric

    if out is None:
        raise click.UsageError("--accept needs --out FILE.yaml")
    rubric = accept_rubric(folder, out)
    click.echo(f"written: {out} and {out.with_suffix('.md')} ({len(rubric.criteria)} criteria)")
