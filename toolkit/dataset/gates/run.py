"""All gates of a build, in order; what a recipe says to drop is dropped and counted before the verdict."""

from typing import Any

from ....schemas.errors import PrivacyError
from ....schemas.recipe import Recipe
from ....schemas.tables import name_all
from ...store.connection import Store, run
from .contents import check_contents
from .convergence import check_convergence
from .gate import Gate
from .leaks.benchmarks import read_benchmarks
from .leaks.leaks import check_leaks
from .length import check_length
from .licence import check_licence
from .privacy import OF_LEARNERS, check_privacy, check_small_groups
from .same_tokens import check_dead
from .tokens import read_encoder


def check_all(con: Store, recipe: Recipe, fit: dict[str, Any] | None, dropped: dict[str, int]) -> list[Gate]:
    """Verdicts on `kept` and `signals_kept`. Adds to `dropped` what it takes out of them."""
    dead = [_dead(con, recipe, dropped)] if recipe.tokenizer else []
    read_benchmarks(con, recipe.benchmarks)
    leaks = _leaks(con, recipe, dropped)
    if dropped and "signals" in recipe.configs:
        _forget_unkept(con)
    return [
        *([check_convergence(fit["key"], fit["diagnostics"])] if fit else []),
        check_contents(con, dropped),
        leaks,
        check_licence(con, recipe.publish_under),
        _privacy(con, recipe),
        *([_small_groups(con, recipe, dropped)] if "signals" in recipe.configs else []),
        *dead,
        check_length(con, recipe.max_length_bias),
    ]


def _leaks(con: Store, recipe: Recipe, dropped: dict[str, int]) -> Gate:
    wordings = [recipe.instruction, *recipe.instructions.values()]
    disjoint = "sft" in recipe.configs and not recipe.splits.shared
    gate = check_leaks(con, wordings, recipe.leaks.near, disjoint)
    if gate.passed or not recipe.leaks.drop:
        return gate
    _drop(con, "(SELECT DISTINCT config, key FROM leaks)", dropped, "leaks into what is measured by")
    return Gate(gate.name, True, gate.number, f"dropped: {gate.verdict}")


def _dead(con: Store, recipe: Recipe, dropped: dict[str, int]) -> Gate:
    wanted = recipe.tokenizer
    if wanted is None:
        raise ValueError("no tokenizer is named")
    encoder = read_encoder(wanted.name, recipe.format == "conversational")
    gate = check_dead(con, encoder, wanted.max_length, wanted.cut)
    if gate.passed or not wanted.drop:
        return gate
    _drop(con, "dead", dropped, "the same tokens once they are cut")
    return Gate(gate.name, True, gate.number, f"dropped: {gate.verdict}")


def _drop(con: Store, rows: str, dropped: dict[str, int], reason: str) -> None:
    """Take rows (config, key) out of `kept`; their order stays."""
    ((n,),) = run(con, f"DELETE FROM kept WHERE (config, key) IN (SELECT (config, key) FROM {rows})")
    dropped[reason] = dropped.get(reason, 0) + int(n)


def _forget_unkept(con: Store) -> None:
    """Signals about completions that were dropped since."""
    run(
        con,
        """DELETE FROM signals_kept WHERE completion NOT IN (
            SELECT chosen_completion FROM kept UNION SELECT rejected_completion FROM kept
            WHERE rejected_completion IS NOT NULL)
        OR other IS NOT NULL AND other NOT IN (
            SELECT chosen_completion FROM kept UNION SELECT rejected_completion FROM kept
            WHERE rejected_completion IS NOT NULL)""",
    )


def _privacy(con: Store, recipe: Recipe) -> Gate:
    """A local build is told, not stopped: its texts stay where they are."""
    local = recipe.publish_under is None
    if not recipe.privacy.look:
        return Gate("privacy", True, 0, "the recipe says not to look for personal data")
    try:
        gate = check_privacy(con, recipe.privacy.allow)
    except PrivacyError as error:
        if "privacy: allow" in str(error):
            raise
        way = "or write privacy: {look: false} into the recipe"
        return Gate("privacy", local, 0, f"NOT LOOKED FOR: {error}{'' if local else f'; {way}'}")
    if gate.passed or not local:
        return gate
    return Gate(gate.name, True, gate.number, f"local build: {gate.verdict}")


def _small_groups(con: Store, recipe: Recipe, dropped: dict[str, int]) -> Gate:
    gate = check_small_groups(con, recipe.privacy.learners)
    if gate.passed:
        return gate
    if recipe.privacy.drop:
        ((n,),) = run(
            con,
            """DELETE FROM signals_kept
            WHERE (kind, completion) IN (SELECT (kind, completion) FROM small_groups)""",
        )
        several = name_all((signal.plural for signal in OF_LEARNERS), "or")
        dropped[f"signals: {several} of few learners"] = int(n)
        return Gate(gate.name, True, gate.number, f"left out: {gate.verdict}")
    if recipe.publish_under is None:
        return Gate(gate.name, True, gate.number, f"local build: {gate.verdict}")
    return gate
