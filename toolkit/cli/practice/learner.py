"""`preceptor learner …`: what is known of one learner."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..options import Common, common, make_table, open_stdout

if TYPE_CHECKING:
    from ...store.connection import Store


def name_learner(con: "Store", learner: str, is_pseudonym: bool) -> str:
    """Name a learner by pseudonym, as the store does."""
    from ...privacy.pseudonyms import find_key_file, make_pseudonym, read_store_key

    return learner if is_pseudonym else make_pseudonym(learner, read_store_key(con, find_key_file()))


PSEUDONYM = click.option(
    "--pseudonym", "is_pseudonym", is_flag=True, help="LEARNER is a pseudonym, not the log's id."
)


class _ByName(click.Group):
    """A group whose first argument may be a learner instead of a command: then profile is meant."""

    def resolve_command(
        self, context: click.Context, arguments: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; a name that is none is a learner."""
        if arguments and arguments[0] not in self.commands and not arguments[0].startswith("-"):
            arguments = ["profile", *arguments]
        return super().resolve_command(context, arguments)


@click.group(cls=_ByName, no_args_is_help=True)
def learner() -> None:
    """Show what the store says of one learner: `preceptor learner ID`, or a command below."""


@learner.command()
@click.argument("learner")
@PSEUDONYM
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with history and all cards that are due.")
@click.option(
    "--html",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a page instead, with what to do next and why. Only you can read the file.",
)
@common
def profile(settings: Common, learner: str, is_pseudonym: bool, as_json: bool, html: Path | None) -> None:
    """Show what LEARNER has mastered, skill by skill with 90 % intervals, and what is due."""
    from ...practice.learners.profile import read_profile
    from ...store.connection import open_store

    if html and as_json:
        raise click.UsageError("--json prints and --html writes a page: give one of them")
    with open_store(settings.store, read_only=True) as con:
        who = name_learner(con, learner, is_pseudonym)
        if html:
            from ...report.learner import write_learner

            write_learner(con, html, who)
            open_stdout().print(f"written to {html}; open it in a browser. It is about a person: keep it so")
            return
        found = read_profile(con, who)
    out = open_stdout()
    if as_json:
        _print_json(found)
        return
    facts = [found["learner"], found["level"], found["first_language"]]
    rows = [
        (
            row["skill"],
            f"{row['mean']:.2f}",
            f"{row['low']:.2f}–{row['high']:.2f}",
            f"{row['answers']:,}",
            f"{row['correct']:,}",
        )
        for row in found["mastery"]
    ]
    title = ", ".join(fact for fact in facts if fact)
    if not rows:
        out.print(
            f"{title}: no skills are known, only cards" if found["cards"] else f"{title}: nothing is known"
        )
    else:
        out.print(make_table(title, ("skill", "P(right) ", "90 % ", "answers ", "right "), rows))
    days = len(found["history"])
    out.print(f"{found['cards']:,} cards, {len(found['due']):,} of them due; {days:,} days with answers")
    if found["errors"]:
        most = ", ".join(f"{row['error_type']} {row['n']:,}" for row in found["errors"][:5])
        out.print(f"errors in own sentences: {most}")


@learner.command()
@click.argument("learner")
@PSEUDONYM
@common
def context(settings: Common, learner: str, is_pseudonym: bool) -> None:
    """Print the few facts about LEARNER that a tutor's prompt may carry, as JSON without any id."""
    from ...practice.learners.profile import read_profile, write_context
    from ...store.connection import open_store

    with open_store(settings.store, read_only=True) as con:
        _print_json(write_context(read_profile(con, name_learner(con, learner, is_pseudonym))))


def _print_json(found: Any) -> None:
    import json

    open_stdout().print(json.dumps(found, ensure_ascii=False, default=str), soft_wrap=True)
