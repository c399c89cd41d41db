"""`preceptor judge`: models as annotators, and whether they are worth their votes."""

import click

from .judge_audit import audit


@click.group(invoke_without_command=True)
@click.pass_context
def judge(context: click.Context) -> None:
    """Let a model judge, and look whether its judgements are worth anything."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


judge.add_command(audit)
