"""Agreement of annotators: published examples, other libraries, properties, who needs a look."""

import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from invented import Rubric, fill, with_fit

from preceptor.annotation.agreement.agreement import SourceJudgements, compute_agreement
from preceptor.schemas.errors import PreceptorError
from preceptor.schemas.licenses import read_license
from preceptor.schemas.tables import ANNOTATORS, QUESTIONS, VOTES
from preceptor.toolkit.campaign.agreement import measure_agreement, measure_source
from preceptor.toolkit.campaign.answers import take_answers
from preceptor.toolkit.campaign.questions import Golden, choose_questions
from preceptor.toolkit.cli.main import cli
from preceptor.toolkit.fusion.inputs.signals import read_signals
from preceptor.toolkit.fusion.observations import encode
from preceptor.toolkit.ingest.batch import Context
from preceptor.toolkit.ingest.formats import FORMATS
from preceptor.toolkit.ingest.run import Origin, find_inputs, ingest
from preceptor.toolkit.report.panels.people import draw_people
from preceptor.toolkit.store.connection import insert, open_store, query, run

# ---- one source as a whole

START = datetime(2026, 3, 1, 9, tzinfo=UTC)
VOTE = ["completion_a", "completion_b", "choice", "annotator", "shown_first", "at", "path", "line", "n"]


def simulate(seed, annotators=12, pairs=120, overlap=3, careless=()):
    """Votes on `pairs` by honest annotators, `overlap` each, and by careless ones with habits by name.

    Everybody judges the pairs' difference with noise, calls small differences ties, sees the sides in
    random order, takes 25 seconds or so. Known and repeated questions are among them.
    """
    rng = np.random.default_rng(seed)
    edge = rng.normal(0, 1.5, pairs)
    known = np.argsort(-np.abs(edge))[: pairs // 10]
    rows = []
    people = [f"p{i:02}" for i in range(annotators)]
    habits = dict(zip(people, careless, strict=False))
    asked = {who: [] for who in people}
    for pair in range(pairs):
        takers = people if pair in known else rng.choice(people, overlap, replace=False)
        for who in takers:
            asked[who].append(pair)
    for who in people:
        again = rng.choice(asked[who], min(8, len(asked[who])), replace=False).tolist()
        rng.shuffle(asked[who])
        at = START
        for line, pair in enumerate(asked[who] + again):
            first = rng.choice(["a", "b"])
            felt = edge[pair] + rng.logistic(0, 0.7)
            choice = "tie" if abs(felt) < 0.25 else "a" if felt > 0 else "b"
            habit = habits.get(who)
            seconds = rng.lognormal(np.log(25), 0.6)
            if habit == "random":
                choice = rng.choice(["a", "b"])
            if habit == "side" and rng.random() < 0.95:
                choice = first
            if habit == "fast":
                seconds = rng.lognormal(0, 0.4)
            if habit == "tie":
                choice = "tie"
            at += timedelta(seconds=float(seconds))
            rows.append((f"a{pair:04}", f"b{pair:04}", str(choice), who, str(first), at, who, line, 0))
    votes = pl.DataFrame(rows, schema=VOTE, orient="row")
    expected = [("b" if edge[k] < 0 else "a") for k in known]
    return votes, pl.DataFrame(
        {
            "completion_a": [f"a{k:04}" for k in known],
            "completion_b": [f"b{k:04}" for k in known],
            "expected": expected,
        }
    )


NO_RATINGS = pl.DataFrame(
    schema={
        "completion": pl.String,
        "criterion": pl.String,
        "value": pl.Int64,
        "levels": pl.Int64,
        "annotator": pl.String,
        "at": pl.Datetime("us", "UTC"),
        "path": pl.String,
        "line": pl.Int64,
        "n": pl.Int64,
    }
)
NO_CONSENSUS = pl.DataFrame(
    schema={"completion_a": pl.String, "completion_b": pl.String, "lead": pl.Float64, "sd": pl.Float64}
)
NO_KNOWN = pl.DataFrame(schema=dict.fromkeys(("completion_a", "completion_b", "expected"), pl.String))


def annotators_of(*frames, models=()):
    who = sorted({w for f in frames for w in f["annotator"].drop_nulls()})
    return pl.DataFrame(
        {"key": who, "kind": ["model" if w in models else "crowd" for w in who], "pseudonym": who},
        schema=dict.fromkeys(("key", "kind", "pseudonym"), pl.String),
    )


def heard(
    votes=None, ratings=NO_RATINGS, known=NO_KNOWN, consensus=NO_CONSENSUS, models=(), reliability=None
):
    if votes is None:
        votes = pl.DataFrame(schema=dict.fromkeys(VOTE[:5], pl.String)).with_columns(
            *(NO_RATINGS[c] for c in ("at", "path", "line", "n"))
        )
    return SourceJudgements(
        votes, ratings, annotators_of(votes, ratings, models=models), known, consensus, reliability or {}
    )


def looks(found):
    return {p.annotator: {reason["kind"] for reason in p.look} for p in found.annotators if p.look}


def test_honest_annotators_agree_and_nobody_is_named():
    votes, known = simulate(1)
    found = compute_agreement("s", heard(votes, known=known), resamples=200)
    (m,) = found.signals
    assert (m.judgements, m.repeated, m.annotators, m.unnamed) == (votes.height, 12 * 8, 12, 0)
    assert m.alpha["nominal"].low > 0.2
    assert m.agreement.value > m.chance.value
    assert m.ceiling["majority"].value <= m.ceiling["perfect"].value
    assert m.kappa["unweighted"].low < m.alpha["nominal"].value < m.kappa["unweighted"].high
    assert found.first_shown.low < 0.5 < found.first_shown.high
    assert looks(found) == {}
    person = found.annotators[0]
    assert person.known.n == 12
    assert person.known.value > 0.8
    assert person.repeats.n == 8
    assert 15 < person.speed.median < 40
    assert person.majority.value > 0.5


def test_careless_annotators_are_named_with_the_reason():
    votes, known = simulate(2, annotators=14, pairs=300, careless=("random", "side", "fast", "tie"))
    found = compute_agreement("s", heard(votes, known=known), resamples=50)
    named = looks(found)
    assert set(named) == {"p00", "p01", "p02", "p03"}
    assert named["p00"] & {"chance", "known"}
    assert {"side"} <= named["p01"]
    assert named["p02"] == {"fast"}
    assert {"same", "known"} <= named["p03"]
    words = {r["kind"]: r["words"] for p in found.annotators if p.annotator == "p01" for r in p.look}
    assert words["side"].startswith("took the side shown first in ")
    assert found.first_shown.low > 0.5


def test_the_order_of_a_pair_and_names_of_people_change_nothing():
    votes, known = simulate(4, annotators=6, pairs=60)
    turned = {"a": "b", "b": "a", "tie": "tie"}
    odd = pl.col("line") % 2 == 1
    other = votes.with_columns(
        pl.when(odd).then("completion_b").otherwise("completion_a").alias("completion_a"),
        pl.when(odd).then("completion_a").otherwise("completion_b").alias("completion_b"),
        *(
            pl.when(odd).then(pl.col(c).replace(turned)).otherwise(c).alias(c)
            for c in ("choice", "shown_first")
        ),
    ).sample(fraction=1, shuffle=True, seed=1)
    one = asdict(compute_agreement("s", heard(votes, known=known), resamples=50))
    assert asdict(compute_agreement("s", heard(other, known=known), resamples=50)) == one
    renamed = votes.with_columns(pl.col("annotator").str.replace("p", "q"))
    two = asdict(compute_agreement("s", heard(renamed, known=known), resamples=50))
    assert json.dumps(two).replace('"q', '"p') == json.dumps(one)


def test_repeated_answers_count_once():
    votes, _ = simulate(5, annotators=5, pairs=40)
    first = votes.unique(["completion_a", "annotator"], keep="first", maintain_order=True)
    some, all_ = (compute_agreement("s", heard(v), resamples=20).signals[0] for v in (first, votes))
    assert some.repeated == 0 < all_.repeated
    assert (some.alpha, some.agreement, some.kappa) == (all_.alpha, all_.agreement, all_.kappa)


def test_a_fit_takes_a_side_without_the_vote_it_is_held_against():
    votes, _ = simulate(6, annotators=2, pairs=2, overlap=1)
    at = votes["at"][0]
    rows = [
        ("a", "b", "a", "p", "a", at, "f", 1, 0),
        ("c", "d", "b", "p", "a", at, "f", 2, 0),
        ("e", "f", "a", "p", "a", at, "f", 3, 0),
        ("h", "g", "b", "p", "a", at, "f", 4, 0),
    ]
    consensus = pl.DataFrame(
        {
            "completion_a": ["a", "c", "e", "g"],
            "completion_b": ["b", "d", "f", "h"],
            "lead": [2.0, 2.0, 0.5, 3.0],
            "sd": [0.5, 0.5, 1.0, 0.1],
        }
    )
    # With the vote, with it against it, undecided once the vote is taken away, and with it.
    found = compute_agreement(
        "s",
        heard(
            pl.DataFrame(rows, schema=VOTE, orient="row"),
            consensus=consensus,
            reliability={"p": {"mean": 1.0, "low": -0.1, "high": 1.3, "p_below_half": 0.98}},
        ),
    )
    (person,) = found.annotators
    assert (person.fit.k, person.fit.n) == (2, 3)
    assert person.reliability["mean"] == 1.0
    assert [reason["kind"] for reason in person.look] == ["fit"]


def test_models_are_held_against_people():
    votes, _ = simulate(8, annotators=6, pairs=80)
    model = votes.filter(pl.col("annotator") == "p00").with_columns(annotator=pl.lit("judge"))
    both = pl.concat([votes, model])
    alone = compute_agreement("s", heard(votes), resamples=20)
    found = compute_agreement("s", heard(both, models=("judge",)), resamples=20)
    assert found.signals == alone.signals
    people = {p.annotator: p for p in found.annotators}
    assert people["judge"].kind == "model"
    # It repeats what p00 said, who is among the others of the judge.
    assert people["judge"].majority.value > people["p00"].majority.value
    judges = compute_agreement("s", heard(both, models=tuple(set(both["annotator"]))), resamples=20)
    assert judges.notes == ["only models judged: all that follows is about models"]
    assert judges.signals[0].judgements == both.height


def rated(seed, annotators=6, completions=80, careless=(), levels=5):
    rng = np.random.default_rng(seed)
    quality = rng.normal(0, 1.2, completions)
    rows, at = [], START
    for i in range(annotators):
        who = f"p{i:02}"
        habit = careless[i] if i < len(careless) else None
        for line, c in enumerate(rng.permutation(completions)):
            at += timedelta(seconds=float(rng.lognormal(3, 0.5)))
            for n, criterion in enumerate(("fluent", "faithful")):
                value = int(np.clip(round(3 + quality[c] + rng.normal(0, 0.7)), 1, levels))
                if habit == "same":
                    value = 4
                if habit == "random":
                    value = int(rng.integers(1, levels + 1))
                rows.append((f"c{c:03}", criterion, value, levels, who, at, who, line, n))
    return pl.DataFrame(rows, schema=list(NO_RATINGS.schema), orient="row").sample(
        fraction=0.9, seed=seed, shuffle=True
    )


def test_ratings():
    found = compute_agreement("s", heard(ratings=rated(1)), resamples=100)
    assert [m.signal for m in found.signals] == ["faithful", "fluent"]
    for m in found.signals:
        assert m.metric == "ordinal"
        assert m.alpha["ordinal"].low > 0.4
        assert m.alpha["nominal"].value < m.alpha["ordinal"].value
        assert m.kappa["unweighted"].value < m.kappa["linear"].value < m.kappa["quadratic"].value
        assert m.correlation.value > 0.6
    assert looks(found) == {}
    named = looks(compute_agreement("s", heard(ratings=rated(2, careless=("same", "random"))), resamples=20))
    assert "same" in named["p00"]
    assert named["p01"] == {"chance"}
    assert set(named) == {"p00", "p01"}


def test_levels_that_differ_are_told_apart():
    two = rated(3, levels=3).with_columns(completion=pl.col("completion") + "x")
    found = compute_agreement("s", heard(ratings=pl.concat([rated(3), two])), resamples=10)
    assert [m.signal for m in found.signals] == [
        "faithful (of 3)",
        "faithful (of 5)",
        "fluent (of 3)",
        "fluent (of 5)",
    ]


def test_times_of_a_batch_say_nothing_of_speed():
    votes, _ = simulate(9)
    found = compute_agreement("s", heard(votes.with_columns(at=pl.lit(START))), resamples=10)
    assert all(p.speed is None for p in found.annotators)
    assert found.notes == ["most answers share their time with another, so speed is not known"]


def test_shared_judgements_beyond_the_limit_are_drawn(monkeypatch):
    votes, _ = simulate(10, pairs=200)
    monkeypatch.setattr("preceptor.annotation.agreement.kappa.MOST_SHARED", 500)
    (m,) = compute_agreement("s", heard(votes), resamples=10).signals
    assert "kappa: 4" in m.notes[-1] or "kappa: 5" in m.notes[-1]
    assert m.notes[-1].endswith("were looked at, drawn at random")


@pytest.mark.slow
def test_false_alarms_are_few():
    """Where all are honest, any is named in at most one of twenty sources; random voters are found."""
    honest = [
        looks(compute_agreement("s", heard(v, known=k), resamples=1))
        for v, k in (simulate(s) for s in range(60))
    ]
    assert sum(map(bool, honest)) <= 6
    found = [
        looks(compute_agreement("s", heard(v, known=k), resamples=1))
        for v, k in (
            simulate(100 + s, pairs=500, careless=("random", "side", "fast", "tie")) for s in range(12)
        )
    ]
    for who in ("p00", "p01", "p02", "p03"):
        assert sum(who in named for named in found) >= 11
    assert sum(len(named.keys() - {"p00", "p01", "p02", "p03"}) for named in found) <= 2


# ---- the command line


def load(path, shared_data, **sources):
    with open_store(path, create=True) as con:
        for name, (format, place) in sources.items():
            files = find_inputs(FORMATS[format], [shared_data / place])
            ingest(con, FORMATS[format], files, Context(name), Origin(read_license(None)))


def alpha_by_pairs(units):
    """Nominal alpha from its definition: every two answers, within units and over all of them."""
    units = [u for u in units if len(u) > 1]
    n = sum(map(len, units))
    apart = sum(
        sum(x != y for i, x in enumerate(u) for j, y in enumerate(u) if i != j) / (len(u) - 1) for u in units
    )
    every = [x for u in units for x in u]
    expected = sum(x != y for x in every for y in every) / (n - 1)
    return 1 - apart / expected


def test_real_sources(tmp_path, shared_data, preceptor):
    path = tmp_path / "s.duckdb"
    load(
        path,
        shared_data,
        smart=("smart", "smart"),
        mrbench=("mrbench", "mrbench"),
        uptake=("uptake", "uptake"),
        jfleg=("votes", "jfleg/EACL_exp/mturk/pairwise.csv"),
    )
    ended = preceptor("--store", path, "annotate", "agreement", "--json")
    assert ended.returncode == 0, ended.stderr
    assert "NaN" not in ended.stdout
    found = {one["source"]: one for one in json.loads(ended.stdout)}
    votes, ratings = found["smart"]["signals"]
    with open_store(path, read_only=True) as con:
        # A row of SMART is a pair with the counts of its votes for a, for b and of ties.
        counts = query(
            con,
            "SELECT count(*) FILTER (choice = 'a') AS a, count(*) FILTER (choice = 'b') AS b, "
            "count(*) FILTER (choice = 'tie') AS tie FROM votes WHERE source = 'smart' "
            "AND completion_a < completion_b GROUP BY completion_a, completion_b "
            "UNION ALL SELECT count(*) FILTER (choice = 'b'), count(*) FILTER (choice = 'a'), "
            "count(*) FILTER (choice = 'tie') FROM votes WHERE source = 'smart' "
            "AND completion_a > completion_b GROUP BY completion_a, completion_b",
        ).to_numpy()
    other = alpha_by_pairs([[v for v, k in enumerate(row) for _ in range(k)] for row in counts.tolist()])
    assert votes["alpha"]["nominal"]["value"] == pytest.approx(other, abs=1e-6)
    assert (votes["judgements"], votes["unnamed"]) == (counts.sum(), counts.sum())
    assert ratings["signal"] == "helpfulness"
    assert ratings["alpha"]["ordinal"]["low"] > 0.2
    # Three raters of whom 3 agree, or 2: all their pairs agree, or a third of them (facts.json counts rows).
    on_task = found["uptake"]["signals"][0]
    rows = json.loads((shared_data / "uptake" / "facts.json").read_text())["rows"]
    with open_store(path, read_only=True) as con:
        modes = query(
            con,
            "SELECT max(k) AS k FROM (SELECT completion, value, count(*) AS k FROM ratings "
            "WHERE source = 'uptake' AND criterion = 'teacher_on_task' GROUP BY ALL) "
            "GROUP BY completion",
        )["k"]
    assert on_task["shared_units"] == rows
    agree = ((modes == 3).sum() + (modes == 2).sum() / 3) / rows
    assert on_task["agreement"]["value"] == pytest.approx(agree)
    assert [m["notes"] for m in found["mrbench"]["signals"]] == [
        ["no completion was judged twice, so whether annotators agree cannot be told"]
    ] * 8
    assert "no pair was judged by two annotators" in found["jfleg"]["signals"][0]["notes"][0]
    assert len(found["jfleg"]["annotators"]) == 2
    said = preceptor("--store", path, "annotate", "agreement").stdout
    assert "nan" not in said.lower().split()
    assert "mrbench: no annotator is named" in said


def test_the_demo_with_its_fit(demo, preceptor):
    path = demo.out / "preceptor.duckdb"
    ended = preceptor("--store", path, "annotate", "agreement", "--json")
    assert ended.returncode == 0, ended.stderr
    found = {one["source"]: one for one in json.loads(ended.stdout)}
    people = found["sample-votes"]["annotators"]
    assert all(p["reliability"]["low"] < p["reliability"]["high"] for p in people)
    # Two of the sample's annotators vote as coins would: both fit and the others are right about them.
    doubtful = [p for p in people if p["look"]]
    assert 1 <= len(doubtful) <= 2
    for p in doubtful:
        assert p["majority"]["high"] < 0.6
        assert p["fit"]["value"] < 0.6
    rest = [p["fit"]["value"] for p in people if p not in doubtful]
    assert sum(rest) / len(rest) > 0.7
    assert found["sample-votes"]["signals"][0]["alpha"]["nominal"]["low"] > 0.2


def test_the_report_shows_annotators(demo, preceptor, tmp_path):
    ended = preceptor("--store", demo.out / "preceptor.duckdb", "report", "--out", tmp_path / "r.html")
    assert ended.returncode == 0, ended.stderr
    page = (tmp_path / "r.html").read_text()
    assert "Who agrees with whom: sample-votes" in page
    assert "Who answers as most do: sample-votes" in page
    assert "Who answers as most do: sample-ratings" in page
    assert page.count("<svg") == page.count("</svg>")


def test_pictures_of_annotators():
    votes, known = simulate(2, annotators=9, pairs=300, careless=("random", "side"))
    odd = votes.with_columns(pl.col("annotator").replace("p04", "<b>&"))
    found = asdict(compute_agreement("<i>", heard(odd, known=known), resamples=10))
    pairs, consensus = draw_people(found, 3)
    assert (pairs.name, consensus.name) == ("pairs-3", "consensus-3")
    assert [str(p.svg) for p in draw_people(found, 3)] == [str(pairs.svg), str(consensus.svg)]
    for picture in (pairs, consensus):
        assert "<b>" not in picture.svg
        assert "&lt;b&gt;&amp;" in picture.svg
    assert "Marked: p0" in consensus.caption
    assert "p00" in consensus.caption
    # Two squares of a pair, one either side of the diagonal, with their numbers.
    assert len({p["first"] for p in found["signals"][0]["pairs"]}) == 8
    share = found["signals"][0]["pairs"][0]["agreement"]
    assert f">{100 * share:.0f}<" in str(pairs.svg)
    alone = asdict(compute_agreement("s", heard(votes.filter(pl.col("annotator") == "p05")), resamples=10))
    assert draw_people(alone, 0) == []
    many = asdict(compute_agreement("s", heard(simulate(3, annotators=45, pairs=400)[0]), resamples=2))
    assert "of 45, evenly" not in draw_people(many, 0)[-1].caption


@pytest.fixture
def campaign(tmp_path):
    """A store with the votes of a simulated campaign."""
    votes, known = simulate(2, annotators=14, pairs=300, careless=("random", "side", "fast", "tie"))
    path = tmp_path / "s.duckdb"
    people = annotators_of(votes).with_columns(source=pl.lit("spring"), key=pl.col("key"))
    with open_store(path, create=True) as con:
        made = people.select("source", "kind", "pseudonym")
        insert(con, ANNOTATORS, made)
        keys = dict(query(con, "SELECT pseudonym, key FROM annotators").rows())
        insert(con, VOTES, votes.with_columns(pl.col("annotator").replace(keys), source=pl.lit("spring")))
        insert(
            con,
            QUESTIONS,
            known.with_columns(
                source=pl.lit("spring"),
                position=pl.int_range(pl.len()),
                rubric=pl.lit("r"),
                prompt=pl.lit("p"),
                shown_first=pl.lit("a"),
                purpose=pl.lit("known"),
                chosen_by=pl.lit("random"),
            ),
        )
    return path


def test_a_campaign_on_the_command_line(campaign, preceptor):
    ended = preceptor("--store", campaign, "annotate", "agreement", "--source", "spring")
    assert ended.returncode == 0, ended.stderr
    assert "spring: do annotators agree?" in ended.stdout
    for who in ("p00", "p01", "p02", "p03"):
        assert f"look at {who}: " in ended.stdout
    assert "look at p04" not in ended.stdout
    assert "position: the side shown first got " in ended.stdout
    one, other = (
        preceptor("--store", campaign, "annotate", "agreement", "--json", "--seed", seed) for seed in (0, 1)
    )
    assert one.stdout != other.stdout
    (found,) = json.loads(one.stdout)
    with open_store(campaign, read_only=True) as con:
        (called,) = measure_agreement(con)
    assert json.loads(json.dumps(asdict(called))) == found
    assert len(found["signals"][0]["pairs"]) > 10
    assert found["annotators"][0]["known"]["n"] == 30


def test_what_is_misspelt_or_missing_is_said(campaign, tmp_path):
    def told(path, *arguments):
        with pytest.raises(PreceptorError) as error:
            cli.main(["--store", str(path), "annotate", "agreement", *arguments], standalone_mode=False)
        assert error.value.exit_code == 2
        return str(error.value)

    assert "did you mean 'spring'?" in told(campaign, "--source", "sprng")
    assert "there are spring" in told(campaign, "--source", "xyz")
    with open_store(tmp_path / "e.duckdb", create=True):
        pass
    assert "holds no votes and no ratings" in told(tmp_path / "e.duckdb")
    assert "there is no store here" in told(tmp_path / "none.duckdb")


# ---- from questions that watch annotators to who is named


def asked_of_two_sources(con, folder, n=120):
    """A campaign about two sources, with 18 known and 18 repeated questions."""
    for source in ("prompts", "riddles"):
        fill(con, folder, source, prompts=20)
    # Of every third pair, votes have settled which completion is better.
    with_fit(con, lambda k: np.resize([0.99, 0.6, 0.01, 0.4], k), np.ones, votes=9)
    choose_questions(con, "week-1", Rubric(), n, "random", 1, Golden(0.15, 0.15))
    return query(con, "SELECT * FROM questions WHERE source = 'week-1' ORDER BY position")


def answers_of(questions, people, seed=0):
    """Answers of `people` (name, habit): the better side with a slip now and then, or what the habit says."""
    rng = np.random.default_rng(seed)
    completions = sorted({*questions["completion_a"], *questions["completion_b"]})
    quality = dict(zip(completions, rng.permutation(len(completions)), strict=True))
    rows = []
    for who, habit in people.items():
        for i, q in enumerate(questions.iter_rows(named=True)):
            first = q["shown_first"]
            better = q["expected"] or (
                "a" if quality[q["completion_a"]] > quality[q["completion_b"]] else "b"
            )
            right = rng.random() < 0.93
            honest = better if right else "ab".replace(better, "")
            choice = {
                "honest": honest,
                "first": first,
                "coin": str(rng.choice(["a", "b"])),
                "worse": "ab".replace(honest, ""),
            }[habit]
            at = START + timedelta(seconds=30 * i + float(rng.uniform(0, 12)))
            rows.append((q["key"], who, json.dumps({"preference": choice}), at))
    return pl.DataFrame(rows, schema=["question", "annotator", "given", "at"], orient="row")


CARELESS = [("first", {"side", "repeat"}), ("coin", {"chance", "repeat"}), ("worse", {"chance", "known"})]


@pytest.mark.parametrize(("habit", "reasons"), CARELESS)
def test_who_is_careless_in_a_campaign_about_two_sources_is_named_once(
    store, tmp_path, named, habit, reasons
):
    questions = asked_of_two_sources(store, tmp_path)
    purposes = dict(questions.group_by("purpose").len().rows())
    assert purposes == {"ask": 84, "known": 18, "repeat": 18}
    people = {"anna": "honest", "ben": "honest", "cleo": "honest", "dora": habit}
    taken = take_answers(store, "week-1", answers_of(questions, people), kind="student")
    assert taken.new == 480
    ((rows,),) = run(store, "SELECT count(*) FROM annotators")
    assert rows == 4  # one each, although they judged completions of two sources

    found = measure_source(store, "week-1")
    assert sorted(p.annotator for p in found.annotators) == sorted(named(*people))
    assert {(p.kind, p.votes, p.known.n, p.repeats.n) for p in found.annotators} == {("student", 120, 18, 18)}
    (votes,) = found.signals
    assert (votes.annotators, votes.judgements, votes.repeated, votes.shared_units) == (4, 480, 72, 102)
    # Six pairs of four people, each sharing all pairs that were asked about.
    assert [pair["n"] for pair in votes.pairs] == [102] * 6
    assert looks(found).keys() == {named("dora")}
    # To a fit each of them is one annotator as well, with all of their votes.
    obs = encode(read_signals(store, []))
    assert sorted(obs.annotators["pseudonym"]) == sorted(named(*people))
    assert np.bincount(obs.votes.annotator, obs.votes.counts.sum(axis=1)).tolist() == [120] * 4
    assert reasons <= looks(found)[named("dora")]
