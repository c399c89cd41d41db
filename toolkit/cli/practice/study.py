"""`preceptor study …`: exercises and explanations on pages for learners, and what they answered."""

import contextlib
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ....schemas.errors import CHECK_FAILED, StudyError
from ..options import Choice, Common, common, make_table, open_stderr, open_stdout, read_name, say

if TYPE_CHECKING:
    from ...practice.study.pages.serve import ServedStudy
    from ...practice.study.push import StudyOptions

_HOME = click.option(
    "--home",
    type=click.Path(path_type=Path),
    default=Path("study-home"),
    show_default=True,
    help="Folder of studies; each has a folder in it with its journal.",
)
_STUDY = click.option("--study", required=True, callback=read_name, help="Name of the study.")


@click.group(no_args_is_help=True)
def study() -> None:
    """Put exercises and explanations before learners on pages of your own, and find out what helps."""


@study.command()
@_STUDY
@click.option(
    "--exercises", multiple=True, metavar="RECIPE", help="Exercises of this recipe. May be repeated."
)
@click.option(
    "--source",
    "sources",
    multiple=True,
    help="Prompts of this source: cards, and explanations of exercises about the same "
    "sentences. May be repeated.",
)
@click.option(
    "--arm", "arms", multiple=True, help="Author (such as a model) whose completions are drawn. Default: all."
)
@click.option(
    "--language",
    "languages",
    multiple=True,
    metavar="LANG",
    help="Language of the items, as a BCP 47 code. May be repeated. Default: every language they have.",
)
@click.option(
    "--assign",
    "policy",
    type=Choice(["uniform", "thompson"]),
    default="uniform",
    show_default=True,
    help="How explanations are drawn: all alike, or more often those that a fit holds for better.",
)
@click.option(
    "--schedule",
    type=Choice(["fsrs", "recommend"]),
    help="Order of new items: by chance (fsrs), or by the gain that a fit of preceptor learn expects for the "
    "learner, else by level (recommend). What is due again FSRS decides. Default: as before, at first fsrs.",
)
@click.option("--fit", help="Key of the fit for --assign thompson. Default: the newest that converged.")
@click.option(
    "--consent",
    "consents",
    multiple=True,
    metavar="[LANG=]FILE",
    help="Text that learners agree to, in a language (default: en). May be repeated; the first is the "
    "default.",
)
@click.option(
    "--class",
    "class_list",
    type=click.Path(path_type=Path),
    help="CSV of learners (name, first_language), who get personal links.",
)
@click.option("--code", help="Class code by which learners join under names of their own choice.")
@click.option("--rubric", metavar="NAME", help="Rubric of the ratings that are asked for now and then.")
@click.option("--license", "license_id", help="Licence of what comes in, as an SPDX id.")
@click.option("--new-a-day", type=click.IntRange(1), default=20, show_default=True, help="New items a day.")
@click.option(
    "--retention",
    type=click.FloatRange(0.7, 0.98),
    default=0.9,
    show_default=True,
    help="Probability of recall at which an item is due again.",
)
@click.option(
    "--vote-share",
    type=click.FloatRange(0, 1),
    default=0.3,
    show_default=True,
    help="Share of explanations after which a learner is asked which of two helps more.",
)
@click.option(
    "--rate-every",
    type=click.IntRange(0),
    default=8,
    show_default=True,
    help="Answers from one request for a rating to the next; 0: none.",
)
@click.option(
    "--delay-hours",
    type=click.FloatRange(1),
    default=20.0,
    show_default=True,
    help="Pause from which an answer counts as delayed recall.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Random seed of --assign.")
@_HOME
@common
def push(settings: Common, /, study: str, home: Path, **how: Any) -> None:
    """Put items, explanations, a text of consent and a class into a study.

    Pushing again brings all of it up to date, while the pages are served, too; without --exercises and
    --source the items stay those of the push before. An item that is left out is not asked any more.
    """
    from ...practice.study.push import push_study
    from ...store.connection import open_store

    with open_store(settings.store) as con:
        done = push_study(settings.store, con, study, _options(how), home)
    out = open_stdout()
    rows = [(kind, f"{n:,}", f"{explained:,}") for kind, n, explained in done.kinds.rows()]
    out.print(make_table(study, ("items", "number ", "with an explanation "), rows))
    out.print(
        f"{done.new:,} items new, {done.withdrawn:,} withdrawn; {done.arms:,} explanations"
        + (f", drawn by fit {done.fit[:8]}" if done.fit else "")
    )
    out.print(f"learners: {done.learners:,} ({done.added:,} added)")
    for note in done.notes:
        out.print(f"note: {note}")
    out.print(f"next: preceptor study serve --study {study}")


def _options(how: dict[str, Any]) -> "StudyOptions":
    from ...practice.study.plan.class_list import read_class_list
    from ...practice.study.push import StudyOptions

    return StudyOptions(
        exercises=how["exercises"],
        sources=how["sources"],
        arms=how["arms"],
        languages=how["languages"],
        schedule=how["schedule"],
        policy=how["policy"],
        fit=how["fit"],
        seed=how["seed"],
        consents=read_consents(how["consents"]),
        learners=read_class_list(how["class_list"]) if how["class_list"] else (),
        code=how["code"],
        rubric=how["rubric"],
        license=how["license_id"],
        retention=how["retention"],
        daily=how["new_a_day"],
        vote_share=how["vote_share"],
        rate_every=how["rate_every"],
        delay_hours=how["delay_hours"],
    )


def read_consents(given: tuple[str, ...]) -> dict[str, str]:
    """Read texts of consent by language. Raises StudyError for a file that cannot be read."""
    found: dict[str, str] = {}
    for value in given:
        before, sign, after = value.partition("=")
        language, path = (
            (before, Path(after)) if sign and "/" not in before and "." not in before else ("en", Path(value))
        )
        try:
            text = path.read_text(encoding="utf-8-sig").strip()
        except (OSError, UnicodeDecodeError) as error:
            said = error.strerror if isinstance(error, OSError) else "is not UTF-8"
            raise StudyError(f"--consent {path}: {said}; expected a text file") from error
        if not text:
            raise StudyError(f"--consent {path}: is empty; write down what learners agree to")
        found[language] = text
    return found


@study.command()
@_STUDY
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8750, show_default=True, help="Port; 0: any free port."
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--name",
    "names",
    multiple=True,
    metavar="HOST",
    help="Name by which browsers reach the pages. May be repeated.",
)
@click.option("--url", help="Address that links begin with, such as https://study.example behind a proxy.")
@click.option(
    "--behind-https", is_flag=True, help="A proxy with https stands before it: cookies are for https alone."
)
@click.option(
    "--plain-http", is_flag=True, help="Let other machines in over plain http, in a network you trust."
)
@_HOME
def serve(
    study: str,
    port: int,
    host: str,
    names: tuple[str, ...],
    url: str | None,
    behind_https: bool,
    plain_http: bool,
    home: Path,
) -> None:
    """Serve the pages of a study, or of a campaign (annotate push --serve study), until Ctrl-C.

    Every answer is on disk before the page that confirms it. Personal links are written to links.csv in the
    study's folder, which only you can read. The store is not needed meanwhile: fuse and pull as you like.
    """
    from ...practice.study.pages.serve import serve_study

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt):
        serve_study(
            study,
            home,
            port=port,
            host=host,
            names=names,
            url=url.rstrip("/") if url else None,
            behind_https=behind_https,
            plain=plain_http,
            on_start=_show,
        )
    say("stopped; everything is kept, start again with the same --home", err=True)


_OF_STUDY = ("study", "teacher's", "learners")


def _show(served: "ServedStudy") -> None:
    out = open_stdout()
    kind, page, who = ("campaign", "team's", "annotators") if served.is_campaign else _OF_STUDY
    out.print(f"{kind} at {served.url}")
    out.print(f"{page} page: {served.teacher} (keep this link to yourself)")
    if served.code:
        out.print(f"{who} join at {served.url}/join with the code {served.code}")
    if served.learners:
        out.print(f"personal links of {served.learners:,} {who}: {served.links} (only you can read it)")
    pull = "annotate" if served.is_campaign else "study"
    out.print(f"Ctrl-C stops it; preceptor {pull} pull brings the answers into the store")
    out.file.flush()


@study.command()
@_STUDY
@_HOME
@common
def pull(settings: Common, /, study: str, home: Path) -> None:
    """Bring answers, outcomes, votes and ratings into the store, each exactly once.

    Learners who left the study are forgotten in the store, too. Pulling again changes nothing. The pages may
    be served meanwhile. Exit code 1 if a part of the journal cannot be read.
    """
    from ...practice.study.pull import pull_study
    from ...store.connection import open_store, write_anew

    with open_store(settings.store) as con:
        done = pull_study(con, study, home)
    if done.withdrawn:
        write_anew(settings.store)
    out, err = open_stdout(), open_stderr()
    rows = [(name, f"{n:,}", f"{done.there[name]:,}") for name, n in done.added.items()]
    out.print(make_table(study, ("", "new ", "were there "), rows))
    out.print(f"outcomes: {done.outcomes:,}, derived from all answers so far")
    for note in done.notes:
        out.print(f"note: {note}")
    if done.withdrawn:
        out.print(
            f"{done.withdrawn:,} learners left the study since the last pull: forgotten, also in the store"
        )
    for folder, what in done.datasets:
        err.print(f"{folder}: has {what} of somebody who left; build it again")
    if done.damage:
        err.print(f"the journal cannot be read in full: {done.damage}; bring back a copy, then pull again")
        raise click.exceptions.Exit(CHECK_FAILED)
    if done.changed:
        out.print("next: preceptor fuse")


@study.command()
@_STUDY
@click.option("--arm", "arms", multiple=True, help="Arm to compare; twice. Default: the two there are.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Random seed.")
@common
def compare(settings: Common, /, study: str, arms: tuple[str, ...], seed: int) -> None:
    """Compare two arms of a pulled study, such as the explanations of two models.

    Which explanation a learner was given was drawn by chance, so that the differences are effects of it:
    turns to the first right answer, and recall after a pause. p is that of a randomisation test.
    """
    from ...practice.study.compare import compare_arms
    from ...store.connection import open_store

    with open_store(settings.store, read_only=True) as con:
        done = compare_arms(con, study, arms, seed=seed)
    out = open_stdout()
    rows = [
        (
            one.wording,
            f"{one.first:.2f} ({one.n_first:,})",
            f"{one.second:.2f} ({one.n_second:,})",
            f"{one.value:+.2f} ({one.low:+.2f} to {one.high:+.2f})",
            f"{one.p:.3f}",
        )
        for one in done.differences
    ]
    columns = ("", f"{done.first} (n) ", f"{done.second} (n) ", "difference (90 % interval) ", "p ")
    out.print(make_table(f"{study}: {done.second} against {done.first}", columns, rows))
    for one in done.differences:
        if one.low != one.low:
            out.print(f"note: {one.wording}: no interval, too few learners ({one.learners})")
        if one.censored:
            out.print(
                f"note: {one.censored:,} outcomes are of learners who had no right answer yet: "
                "counted as they stand"
            )
    if done.fitted:
        found = done.fitted
        out.print(
            f"by fit {found.fit[:8]}: {done.second} helps more by {found.mean:+.2f} log-odds "
            f"({found.low:+.2f} to {found.high:+.2f}), mean over {found.pairs:,} prompts"
        )
    else:
        out.print("note: no fit that converged has these explanations; preceptor fuse makes one")


@study.command()
@_STUDY
@click.option(
    "--format",
    "format",
    type=Choice(["csv", "xapi", "anki"]),
    default="csv",
    show_default=True,
    help="Answers as CSV or xAPI statements, under pseudonyms; or the items as a deck for Anki (.apkg).",
)
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="File to write.")
@_HOME
@common
def export(settings: Common, /, study: str, format: str, out: Path, home: Path) -> None:
    """Write a pulled study's answers, or its items with the explanations that help most.

    The file is for you alone to read. xAPI statements are read again by preceptor ingest xapi.
    """
    from ...practice.study.export import export_study
    from ...store.connection import open_store

    with open_store(settings.store, read_only=True) as con:
        written = export_study(con, settings.store, study, format, out, home)
    say(f"written: {out} ({written:,} {'notes' if format == 'anki' else 'rows'})")
