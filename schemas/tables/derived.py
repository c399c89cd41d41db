"""Derived tables: fits and their results, datasets built, people forgotten."""

from .declare import SOURCE, Column, declare
from .signals import SIGNALS

FITS = declare(
    "fits",
    "a run of the fusion model",
    ("config", "inputs", "method", "seed", "versions"),
    Column("config", "json", "target, sources and sampler settings"),
    Column("inputs", "text", "digest of the keys of every signal and completion seen"),
    Column("method", "text", "hmc or laplace; map for a quick look"),
    Column("seed", "int", "of the sampler"),
    Column("converged", "bool", "R-hat, ESS and divergences pass"),
    Column("diagnostics", "json", "R-hat, ESS, divergences, posterior predictive checks"),
    Column("findings", "json", "rho, scales, annotators' habits, with 90 % intervals"),
    Column("versions", "json", "of the libraries that made it"),
    Column("fitted_at", "time", "when, UTC"),
)
EFFECTIVENESS = declare(
    "effectiveness",
    "a completion under a fit, on the log-odds scale",
    ("fit", "completion"),
    Column("fit", "text", "key of the fit"),
    Column("completion", "text", "key of the completion"),
    Column("mean", "float", "posterior mean of the target", unit="log-odds"),
    Column("sd", "float", "posterior standard deviation of the target", unit="log-odds"),
    Column("low", "float", "5 % quantile of the target", unit="log-odds"),
    Column("high", "float", "95 % quantile of the target", unit="log-odds"),
    Column("expressed_mean", "float", "of what people prefer", unit="log-odds"),
    Column("expressed_sd", "float", "of what people prefer", unit="log-odds"),
    Column("observed_mean", "float", "of what helps", unit="log-odds"),
    Column("observed_sd", "float", "of what helps", unit="log-odds"),
    Column("basis", "text", "signals; text: nobody judged it, its text tells; prior: nothing", nullable=True),
    *(Column(signal.count, "int", signal.of_completion) for signal in SIGNALS),
)
PREFERENCES = declare(
    "preferences",
    "a pair of completions of one prompt under a fit",
    ("fit", "completion_a", "completion_b"),
    Column("fit", "text", "key of the fit"),
    Column("prompt", "text", "key of the prompt"),
    Column("completion_a", "text", "key"),
    Column("completion_b", "text", "key"),
    Column("p", "float", "P(a is better than b)"),
    Column("sd", "float", "of the difference of the target", unit="log-odds"),
    Column("p_expressed", "float", "P(a is preferred to b)"),
    Column("p_observed", "float", "P(a helps more than b)"),
    Column("p_vote", "float", "P(a new annotator who decides votes for a)", nullable=True),
    Column(
        "p_panel", "float", "P(of three new annotators more vote for a, where not as many)", nullable=True
    ),
    Column("p_text", "float", "P(a is preferred to b) by the texts alone", nullable=True),
    Column(
        "basis",
        "text",
        "drawn: learners tried both, drawn by chance; logged: tried both, not both drawn; judged: not both "
        "were tried; text: nobody judged one of them; prior: nothing is known of one",
        nullable=True,
    ),
    Column("information_gain", "float", "by how much one more vote should lower 2p(1 - p)"),
)
CHAIN_ENDS = declare(
    "chain_ends",
    "where the chains of a fit ended, from where a fit with some more signals can go on",
    ("fit", "site", "member"),
    Column("fit", "text", "key of the fit"),
    Column("site", "text", "parameter of the model, as it is sampled"),
    Column("member", "text", "key or pseudonym of whom it belongs to; else its number, from 0"),
    Column("ends", "json", "its last value in each chain"),
    Column("covariance", "json", "its variance; of a parameter without members with all such, in order"),
)
DRAWS = declare(
    "draws",
    "what some draws of a fit say of one parameter, for influence; kept of the newest fit of its sources",
    ("fit", "site"),
    Column("fit", "text", "key of the fit"),
    Column("site", "text", "parameter of the model, as it is sampled"),
    Column("n", "int", "number of draws"),
    Column("values", "bytes", "draws x members, little-endian: 4 bytes a number, of members of groups 2"),
)
TEXT_STATES = declare(
    "text_states",
    "a completion as a model reads it, kept so that no text is read twice; gone with the text",
    ("completion", "model"),
    SOURCE,
    Column("completion", "text", "key of the completion"),
    Column("model", "text", "name of the model, with a digest"),
    Column("state", "floats", "mean of the middle layer over the completion's tokens"),
)
BUILDS = declare(
    "builds",
    "a dataset that was built",
    ("recipe", "fit", "digests", "out"),
    Column("name", "text", "the recipe's name"),
    Column("out", "text", "folder it was written to; relative to the store's folder where it lies inside"),
    Column("recipe", "json", "the recipe, defaults filled in"),
    Column("fit", "text", "key of the fit; null where it was built without one", nullable=True),
    Column("digests", "json", "sha256 of every file"),
    Column("counts", "json", "rows kept per config and split, dropped with reasons"),
    Column("gates", "json", "each gate's verdict and number"),
    Column("built_at", "time", "when, UTC"),
    Column("replaced_at", "time", "when another build took its place in the folder", nullable=True),
)
TRACES = declare(
    "traces",
    "what a person's rows went into, kept when their source is replaced, until the person is forgotten",
    ("person", "kind", "ref"),
    Column("person", "text", "pseudonym", person=True),
    Column("kind", "text", "completion (used in a dataset) or fit"),
    Column("ref", "text", "key of the completion or fit"),
)
FORGOTTEN = declare(
    "forgotten",
    "a person whose rows were taken out and will not be taken in again",
    ("person",),
    Column("person", "text", "hash of the pseudonym, which itself is nowhere any more"),
    Column("forgotten_at", "time", "when, UTC"),
)
FORGOTTEN_ROWS = declare(
    "forgotten_rows",
    "what is known by in datasets that hold rows of a forgotten person",
    ("person", "kind", "row"),
    Column("person", "text", "as in forgotten"),
    Column("kind", "text", "completion, fit, or name (of the person, in a dataset's signals)"),
    Column("row", "text", "hash of the key or name"),
)
