"""`preceptor fuse`: signals of the store -> a fit, effectiveness and preferences in the store."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import polars as pl

from ...schemas.errors import FusionError
from ...schemas.keys import hash_key
from ...schemas.tables import CHAIN_ENDS, DRAWS, EFFECTIVENESS, FITS, PREFERENCES, SIGNALS
from ..privacy.traces import remember_fit
from ..store.connection import Store, insert, query, run, transaction
from .findings.assigned import mark_pairs, summarise_assigned
from .findings.checks import check_predictions
from .findings.groups import summarise_groups
from .findings.judges import summarise_judges
from .findings.oddities import find_oddities
from .findings.posterior import (
    count_apart,
    draw_qualities,
    summarise_completions,
    summarise_fit,
    summarise_pairs,
)
from .influence.predicts import check_unseen_votes
from .inputs.copies import find_copies
from .inputs.ends import find_last_ends
from .inputs.read import read_input
from .inputs.signals import hash_inputs, list_excluded, note_left_out
from .methods import choose_method, fit_by
from .observations import Observations
from .sampling.fit import OnProgress, SamplerSettings
from .sampling.rank_histograms import make_rank_histograms
from .text.length import draw_length_part, summarise_length
from .text.read import describe_text, read_texts
from .text.states import TextEncoder

DEFAULTS = SamplerSettings()
_OLDER_DRAWS = """DELETE FROM draws WHERE fit IN (
    SELECT key FROM fits WHERE (config->'$.sources')::VARCHAR[] = $sources::VARCHAR[])"""


@dataclass(frozen=True)
class Fit:
    """A stored fit: its key, verdict and results."""

    key: str
    converged: bool
    advice: str
    diagnostics: dict[str, Any]
    findings: dict[str, Any]
    already_there: bool = False


def fuse(
    con: Store,
    target: float = 0.5,
    sources: Sequence[str] = (),
    settings: SamplerSettings = DEFAULTS,
    on_progress: OnProgress = lambda *_: None,
    warm: bool = False,
    text: str | TextEncoder | None = None,
    length_controlled: bool = False,
) -> Fit:
    """Fit the model to the signals about `sources` (all if empty) and store the results.

    `target` is the weight of observed against expressed in what "better" means, 0 to 1. The same input
    and settings are fitted once. An unconverged fit is stored too, marked; no build takes it. A `warm`
    one starts at the final states of the last converged fit of these sources, if there is one. With `text`
    (CHEAPLY, or a model that reads texts) their features are a prior mean of expressed quality, also of
    completions that nobody judged; if `length_controlled`, the target is without what length explains. Raises
    FusionError if there is nothing to fuse and for `warm` without chains, StoreError for an unknown source.
    """
    given = read_input(con, sources, unjudged=text is not None)
    signals, obs = given.signals, given.obs
    asked = {"target": target, "sources": sorted(sources), **asdict(settings)}
    excluded = list_excluded(con, sources)
    asked |= {"excluded": excluded} if excluded else {}
    asked |= {"text": describe_text(text)} if text is not None else {}
    asked |= {"length_controlled": True} if length_controlled else {}
    versions = json.dumps({name: version(name) for name in ("preceptor", "numpyro", "jax", "jaxlib")})
    method = choose_method(obs, settings.method)
    if warm and method != "hmc":
        raise FusionError(
            f"--warm-start is for chains, and here the method is {method}: "
            "leave it out, or ask for --method hmc"
        )
    identity = (hash_inputs(signals), method, settings.seed, versions)
    known = _known(con, asked, identity, warm)
    if known:
        return known
    earlier, ends = find_last_ends(con, asked["sources"]) if warm else ("", None)
    config = json.dumps(asked | ({"warm_start": earlier} if ends else {}), sort_keys=True)
    name = hash_key([config, *identity])
    texts = read_texts(con, obs, text, length_controlled, on_progress)
    obs = replace(obs, text=texts.groups)
    posterior = fit_by(obs, settings, on_progress, ends)
    e, o = draw_qualities(obs, posterior, settings.seed)
    diagnostics = asdict(posterior.diagnostics) | {
        "converged": posterior.diagnostics.converged,
        "advice": "" if posterior.diagnostics.converged else posterior.diagnostics.advice,
        "checks": check_predictions(obs, posterior, given.used, settings.seed),
        "ranks": make_rank_histograms(posterior) if method == "hmc" else [],
        "warm_start": earlier if ends else None,
    }
    length = draw_length_part(posterior, texts)
    of_items = summarise_completions(obs, e, o, target, length)
    pairs = mark_pairs(
        summarise_pairs(obs, posterior, e, o, target, settings.seed, length), of_items, given.used
    )
    found = summarise_fit(obs, posterior) | _count(obs, given.used)
    found |= {
        "apart": count_apart(obs, pairs),
        **summarise_assigned(posterior, pairs, given.used),
        **summarise_length(posterior, texts, pairs, settings.seed),
        "notes": [*find_oddities(con, sources), *note_left_out(con, sources)],
    }
    if judges := summarise_judges(obs, posterior, pairs):
        named = dict(signals["annotators"].select("annotator", "pseudonym").rows())
        found["judges"] = judges | {
            "copies": [[named[key] for key in group] for group in find_copies(signals)]
        }
    if groups := summarise_groups(obs, posterior, pairs, settings.seed):
        found["groups"] = groups
    found |= {"excluded": excluded} if excluded else {}
    predicts = check_unseen_votes(obs, posterior)
    found |= {"predicts": predicts} if predicts else {}
    of_fit = pl.lit(name).alias("fit")
    if text is not None:
        found["text_alone"] = of_items.filter(basis="text").height
    with transaction(con):
        insert(con, FITS, _row(config, identity, diagnostics, found))
        insert(con, EFFECTIVENESS, of_items.with_columns(of_fit))
        insert(con, PREFERENCES, pairs.with_columns(of_fit))
        if posterior.ends is not None and posterior.diagnostics.converged:
            insert(
                con,
                CHAIN_ENDS,
                posterior.ends.with_columns(of_fit, format_as_json("ends"), format_as_json("covariance")),
            )
        if posterior.kept is not None and posterior.diagnostics.converged:
            run(con, _OLDER_DRAWS, {"sources": asked["sources"]})
            insert(con, DRAWS, posterior.kept.with_columns(of_fit))
        remember_fit(con, name)
    return _result(name, diagnostics, found)


def _row(
    config: str, identity: tuple[str, str, int, str], diagnostics: dict[str, Any], found: dict[str, Any]
) -> pl.DataFrame:
    """Make the row of `fits`; `identity` is inputs, method, seed and versions."""
    inputs, method, seed, versions = identity
    return pl.DataFrame(
        {
            "config": [config],
            "inputs": [inputs],
            "method": [method],
            "seed": [seed],
            "converged": [diagnostics["converged"]],
            "diagnostics": [json.dumps(diagnostics)],
            "findings": [json.dumps(found)],
            "versions": [versions],
            "fitted_at": [datetime.now(UTC)],
        }
    )


def _known(con: Store, asked: dict[str, Any], identity: tuple[str, str, int, str], warm: bool) -> Fit | None:
    """Find the fit of this input with these settings; a warm-started one only if `warm`."""
    rows = query(
        con,
        """SELECT key, config, diagnostics, findings FROM fits
        WHERE inputs = ? AND method = ? AND seed = ? AND versions = ? ORDER BY converged DESC, fitted_at""",
        list(identity),
    ).rows()
    for name, config, diagnostics, found in rows:
        settings = json.loads(config)
        begun = settings.pop("warm_start", None)
        if settings == asked and (warm or begun is None):
            return _result(name, json.loads(diagnostics), json.loads(found), already_there=True)
    return None


def format_as_json(column: str) -> pl.Expr:
    """Format a column of lists of numbers as JSON."""
    numbers = pl.col(column).list.eval(pl.element().cast(pl.String)).list.join(", ")
    return pl.format("[{}]", numbers).alias(column)


def _result(
    name: str, diagnostics: dict[str, Any], found: dict[str, Any], already_there: bool = False
) -> Fit:
    return Fit(name, diagnostics["converged"], diagnostics["advice"], diagnostics, found, already_there)


def _count(obs: Observations, signals: dict[str, pl.DataFrame]) -> dict[str, int]:
    """Count prompts, completions and people, and the signals of each type."""
    return {
        "prompts": int(obs.prompt.max()) + 1,
        "completions": obs.completions.height,
        "n_annotators": obs.annotators.height,
        **{
            signal.name: int(rows["n"].sum())
            if "n" in (rows := signals[signal.name]).columns
            else rows.height
            for signal in SIGNALS
        },
        "learners": len(obs.learners),
    }
