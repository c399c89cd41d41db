"""Audits of model judges: position, length, agreement with people; every text here is invented."""

import csv
import json
from dataclasses import asdict
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from invented import fill
from places import ROOT
from scipy import stats

from preceptor.annotation.audit.audit import audit_evidence, make_evidence
from preceptor.annotation.audit.files import read_judgements
from preceptor.annotation.audit.orders import JUDGEMENTS, fit_logistic
from preceptor.annotation.audit.people import compare_with_people
from preceptor.annotation.rubrics.rubric import read_rubric, score_ratings
from preceptor.schemas.errors import AnnotationError
from preceptor.schemas.licenses import read_license
from preceptor.schemas.tables import ANNOTATORS, QUESTIONS, RATINGS, REPLIES, RUBRICS, VOTES
from preceptor.toolkit.campaign.answers import take_answers
from preceptor.toolkit.campaign.campaigns import begin
from preceptor.toolkit.campaign.judge_audit import AuditOptions, audit_judgement_file, audit_judges
from preceptor.toolkit.cli.main import cli
from preceptor.toolkit.ingest.batch import Context
from preceptor.toolkit.ingest.formats import FORMATS
from preceptor.toolkit.ingest.run import Origin, find_inputs, ingest
from preceptor.toolkit.report.svg import CSS, LIGHT
from preceptor.toolkit.store.connection import add_key, insert, open_store, query, run

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def ask(*arguments, code=0):
    done = CliRunner().invoke(cli, [*map(str, arguments)])
    assert done.exit_code == code, done.output + repr(done.exception)
    return done


def audits(*arguments):
    return json.loads(ask(*arguments, "--json").stdout)["audits"]


def cache(path, counts, lengths=lambda n: (100, 100)):
    """A judge's cache: how often each two answers (low first, high first) were given to a pair."""
    with path.open("w", newline="") as stream:
        out = csv.writer(stream)
        out.writerow(["item", "first", "second", "choice", "first_length", "second_length"])
        answers = [both for both, n in counts.items() for _ in range(n)]
        for n, (low_first, high_first) in enumerate(answers):
            low, high = lengths(n)
            out.writerow([n, "one", "other", low_first, low, high])
            out.writerow([n, "other", "one", high_first, high, low])
    return path


def test_shares_of_a_cache_with_the_published_counts(tmp_path):
    """500 items as of the judge of SMART: 47.4, 38.8 and 13.8 %."""
    counts = {
        ("first", "second"): 120,
        ("second", "first"): 117,
        ("first", "first"): 194,
        ("second", "second"): 69,
    }
    path = cache(tmp_path / "judge.csv", counts)
    (found,) = audits("judge", "audit", "--judgements", path)
    shares = {
        name: round(100 * found["position"][name]["value"], 1)
        for name in ("consistent", "first_twice", "second_twice")
    }
    assert shares == {"consistent": 47.4, "first_twice": 38.8, "second_twice": 13.8}
    assert found["position"]["pairs"] == 500
    first = found["position"]["first"]
    assert first["value"] == pytest.approx((237 + 2 * 194) / 1000)
    assert 0.5 < first["low"] < first["value"] < first["high"] < 0.66
    interval = stats.binomtest(194, 500).proportion_ci()
    assert (
        found["position"]["first_twice"]["low"],
        found["position"]["first_twice"]["high"],
    ) == pytest.approx(interval)
    said = ask("judge", "audit", "--judgements", path).stdout
    assert "47.4 %" in said
    assert "it leans to the first slot" in said
    assert "no decided pair has two different lengths" in said


def test_ties_are_counted_apart_and_shares_add_up(tmp_path):
    counts = {("first", "second"): 4, ("tie", "tie"): 3, ("tie", "first"): 2, ("second", "tie"): 1}
    (found,) = audits("judge", "audit", "--judgements", cache(tmp_path / "j.csv", counts))
    position = found["position"]
    assert {
        name: position[name]["k"]
        for name in ("consistent", "first_twice", "second_twice", "both_tie", "one_tie")
    } == {"consistent": 4, "first_twice": 0, "second_twice": 0, "both_tie": 3, "one_tie": 3}


def test_one_order_tells_no_position_bias(tmp_path):
    path = tmp_path / "j.jsonl"
    row = {
        "item": 1,
        "first": "x",
        "second": "y",
        "choice": "first",
        "judge": "m",
        "first_text": "long",
        "second_text": "no",
    }
    path.write_text("\n".join(json.dumps(row | {"item": n}) for n in range(5)))
    (found,) = audits("judge", "audit", "--judgements", path)
    assert found["judge"] == "m"
    assert found["position"] is None
    assert any("one order only" in note for note in found["notes"])
    assert found["length"]["longer"]["k"] == found["length"]["pairs"] == 5
    assert found["length"]["slope"] is None  # all choices are the same: no finite slope
    assert "leans to the" not in ask("judge", "audit", "--judgements", path).stdout


def test_what_a_file_has_wrong_is_said_by_line(tmp_path):
    path = tmp_path / "j.csv"
    path.write_text(
        "item,first,second,choice,first_length\n1,a,b,first,12\n2,a,b,A,12\n3,a,a,tie,\n\n4,a,b,Second,x\n5,a,b,tie,\n"
    )
    rows, rejects = read_judgements(path)
    assert rows["choice"].to_list() == ["first", "tie"]
    assert [line.partition(": ")[0] for line in rejects] == ["j.csv:3", "j.csv:4", "j.csv:6"]
    assert "'choice' is 'A'" in rejects[0]
    assert "not taken: j.csv:3" in ask("judge", "audit", "--judgements", path).stderr
    path.write_text("item,frist,second,choice\n1,a,b,first\n")
    with pytest.raises(AnnotationError, match=r"no column 'first' \(did you mean 'frist'\?\); the file has "):
        read_judgements(path)
    path.write_text("item,first,second,choice\n1,a,b,maybe\n")
    with pytest.raises(AnnotationError, match=r"no judgement.*j\.csv:2"):
        read_judgements(path)


def drawn_judgements(seed, n=150, slope=0.8, slot=0.6):
    """Choices by log length ratio and slot, both orders of every pair."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        lengths = rng.integers(20, 400, 2)
        for a, b in ((0, 1), (1, 0)):
            p = 1 / (1 + np.exp(-(slope * np.log(lengths[a] / lengths[b]) + slot)))
            rows.append(
                (
                    f"{i}",
                    f"{i}-{a}",
                    f"{i}-{b}",
                    "first" if rng.random() < p else "second",
                    *map(int, lengths[[a, b]]),
                )
            )
    return pl.DataFrame(rows, schema=JUDGEMENTS, orient="row")


def test_slope_of_length_as_statsmodels_has_it():
    import statsmodels.api as sm

    rows = drawn_judgements(1)
    x = np.column_stack([np.log(rows["first_length"] / rows["second_length"]), np.ones(rows.height)])
    y, of = (rows["choice"] == "first").to_numpy().astype(float), rows["item"].cast(pl.Int64).to_numpy()
    theirs = sm.Logit(y, x).fit(disp=0, cov_type="cluster", cov_kwds={"groups": of})
    for mine, value, (low, high) in zip(
        fit_logistic(x, y, of), theirs.params, theirs.conf_int(), strict=True
    ):
        assert [mine.value, mine.low, mine.high] == pytest.approx([value, low, high], rel=1e-6)
    (evidence,) = make_evidence(rows.with_columns(judge=pl.lit("m")), "m")
    found = audit_evidence(evidence).length
    assert found.slope.value == pytest.approx(theirs.params[0])
    assert found.first_slot.value == pytest.approx(theirs.params[1])
    assert found.slope.low < 0.8 < found.slope.high
    assert found.pairs < 150  # ties of the orders decide nothing
    assert found.judgements == 300


def test_intervals_of_the_slope_cover_the_truth():
    covered = 0
    for seed in range(60):
        rows = drawn_judgements(seed, n=80)
        x = np.column_stack([np.log(rows["first_length"] / rows["second_length"]), np.ones(rows.height)])
        slope = fit_logistic(
            x, (rows["choice"] == "first").to_numpy().astype(float), rows["item"].cast(pl.Int64).to_numpy()
        )[0]
        covered += slope.low < 0.8 < slope.high
    assert covered >= 52  # of 60; 95 % intervals


def pairs_of(con):
    """Two completions of each prompt, the longer one first: prompt, longer, shorter."""
    return query(
        con,
        """SELECT prompt, arg_max(key, (length(content), key)) AS longer, arg_min(key, (length(content), key)) AS shorter
        FROM completions GROUP BY 1 ORDER BY 1""",
    ).rows()


def replies(con, pairs, answer, model="openai:m", source="week", **more):
    """Replies of a judge to both orders; `answer(n, order)` is what it says, null for a failure."""
    rows = [
        {
            "source": source,
            "purpose": "judge",
            "model": model,
            "request": f"{n}-{order}",
            "nth": 1,
            "prompt": prompt,
            "completion_a": one,
            "completion_b": other,
            "template": "t",
            "sampling": "{}",
            "raw": "…",
            "at": NOW,
            "answer": json.dumps({"preference": answer(n, order)}) if answer(n, order) else None,
            "error": None if answer(n, order) else "no JSON",
            **more,
        }
        for n, (prompt, a, b) in enumerate(pairs)
        for order, (one, other) in enumerate(((a, b), (b, a)))
    ]
    insert(con, REPLIES, pl.DataFrame(rows, schema_overrides={"answer": pl.String, "error": pl.String}))


def votes(con, rows, source="people"):
    """Rows of (completion_a, completion_b, choice, annotator's key)."""
    insert(
        con,
        VOTES,
        pl.DataFrame(
            rows, schema=["completion_a", "completion_b", "choice", "annotator"], orient="row"
        ).with_columns(source=pl.lit(source), path=pl.lit("f"), line=pl.int_range(pl.len()), n=pl.lit(0)),
    )


def annotators(con, names, kind="crowd"):
    """Keys of annotators by name."""
    frame = add_key(
        pl.DataFrame(
            {"within": None, "kind": kind, "pseudonym": names}, schema_overrides={"within": pl.String}
        ),
        ANNOTATORS,
    )
    insert(con, ANNOTATORS, frame)
    return dict(frame.select("pseudonym", "key").rows())


@pytest.fixture
def lengthy(tmp_path):
    """A store where a judge prefers the longer of two in 30 of 40 pairs, and three people do in half of them."""
    path = tmp_path / "p.jsonl"
    path.write_text(
        "\n".join(
            json.dumps(
                {
                    "id": f"p{i}",
                    "task": "t",
                    "prompt": f"Question {i}?",
                    "group": f"g{i}",
                    "completions": [
                        {"id": f"{i}-0", "content": "word " * (8 + i % 5)},
                        {"id": f"{i}-1", "content": "word " * 4},
                    ],
                }
            )
            for i in range(40)
        )
    )
    with open_store(tmp_path / "s.duckdb", create=True) as con:
        files = find_inputs(FORMATS["prompts"], [path])
        ingest(con, FORMATS["prompts"], files, Context("prompts"), Origin(read_license("CC-BY-4.0")))
        pairs = pairs_of(con)

        # Six pairs by the slot, four the shorter one, the others the longer one.
        def says(n, order):
            return "first" if n < 6 else ("second", "first")[order] if n < 10 else ("first", "second")[order]

        replies(con, pairs, says)
        replies(con, pairs[:2], lambda n, order: None, template="other", request="x")
        who = annotators(con, ["ann", "ben", "cal"])
        votes(
            con,
            [
                (a, b, "ab"[(n + k % 2 * (n % 4 == 0)) % 2], key)
                for n, (_, a, b) in enumerate(pairs)
                for k, key in enumerate(who.values())
            ],
        )
    return tmp_path / "s.duckdb"


def test_replies_beside_votes_of_people(lengthy):
    (found,) = audits("--store", lengthy, "judge", "audit")
    assert found["judge"] == "openai:m"
    assert found["failed"] == 1
    assert (found["position"]["first_twice"]["k"], found["position"]["consistent"]["k"]) == (6, 34)
    assert (found["length"]["longer"]["k"], found["length"]["longer"]["n"]) == (30, 34)
    people = found["length"]["people"]
    assert people["pairs"] == 34
    assert people["votes"] == 102
    assert people["difference"]["value"] == pytest.approx(
        people["judge"]["value"] - people["people"]["value"]
    )
    assert people["difference"]["low"] > 0
    (about_votes,) = found["signals"]
    assert about_votes["units"] == 40
    assert np.sum(about_votes["table"]) == 120
    assert np.sum(about_votes["table"][1]) == 18  # the slot's six pairs are ties of the judge
    said = ask("--store", lengthy, "judge", "audit").stdout
    assert "it likes length more than people do" in said
    assert "people agree more among themselves" in said


def test_the_functions_do_what_the_command_does(lengthy, tmp_path):
    with open_store(lengthy, read_only=True) as con:
        made = audit_judges(con, AuditOptions(seed=3))
        with pytest.raises(AnnotationError, match="no judge of that name"):
            audit_judges(con, AuditOptions(judges=("gpt",)))
    assert [asdict(one) for one in made.audits] == audits("--store", lengthy, "judge", "audit", "--seed", 3)
    file = cache(tmp_path / "judge.csv", {("first", "second"): 12, ("first", "first"): 8})
    file.write_text(file.read_text() + "20,one,other,both,1,1\n")
    made = audit_judgement_file(file, AuditOptions(judges=("judge",)))
    said = json.loads(ask("judge", "audit", "--judgements", file, "--json").stdout)
    assert [asdict(one) for one in made.audits] == said["audits"]
    assert list(made.rejects) == said["rejects"] != []


def test_measures_as_other_libraries_have_them():
    """One judge and three people on 60 units: the judge's pairs spelt out, people's by the library."""
    import krippendorff

    rng = np.random.default_rng(3)
    true = rng.integers(0, 5, 60)
    said = np.clip(true[:, None] + rng.integers(-1, 2, (60, 4)), 0, 4)
    judge = pl.DataFrame({"unit": np.arange(60), "value": said[:, 0]})
    people = pl.DataFrame(
        {"unit": np.repeat(np.arange(60), 3), "annotator": ["a", "b", "c"] * 60, "value": said[:, 1:].ravel()}
    )
    found = compare_with_people("helpful", [*"12345"], judge, people, "ordinal", 0, 400)
    x, y = np.repeat(said[:, 0], 3), said[:, 1:].ravel()
    value = {name: measure.judge.value for name, measure in found.measures.items()}
    assert value["pearson"] == pytest.approx(stats.pearsonr(x, y).statistic)
    assert value["spearman"] == pytest.approx(stats.spearmanr(x, y).statistic)
    assert value["exact"] == pytest.approx((x == y).mean())
    weights = np.subtract.outer(np.arange(5), np.arange(5)) ** 2
    table = np.array(found.table)
    chance = np.outer(table.sum(1), table.sum(0)) / table.sum()
    assert value["kappa"] == pytest.approx(1 - (weights * table).sum() / (weights * chance).sum())
    assert value["alpha"] == pytest.approx(
        krippendorff.alpha(np.array([x, y]), level_of_measurement="ordinal")
    )
    among = found.measures["alpha"].people
    assert among.value == pytest.approx(krippendorff.alpha(said[:, 1:].T, level_of_measurement="ordinal"))
    both = [(said[u, i], said[u, j]) for u in range(60) for i in (1, 2, 3) for j in (1, 2, 3) if i != j]
    assert found.measures["pearson"].people.value == pytest.approx(
        stats.pearsonr(*np.array(both).T).statistic
    )
    apart = found.measures["pearson"].difference
    assert apart.low < apart.value < apart.high
    assert apart.value == pytest.approx(value["pearson"] - found.measures["pearson"].people.value)
    assert found.best["majority"].value <= found.best["perfect"].value


@pytest.fixture
def study(shared_data, tmp_path):
    """The 60 rated outputs of Socratic-LLM, and a campaign in which a made-up judge rated them as well."""
    rng = np.random.default_rng(7)
    rubric = read_rubric("socratic")
    path = tmp_path / "s.duckdb"
    with open_store(path, create=True) as con:
        data = shared_data / "socratic-llm" / "mathdial_human_eval.json"
        files = find_inputs(FORMATS["socratic-llm"], [data])
        ingest(con, FORMATS["socratic-llm"], files, Context("socratic-llm"), Origin(read_license("MIT")))
        for table in ("ratings", "rubrics"):  # nearly the judge's name for it
            run(con, f"UPDATE {table} SET criterion = 'reveal_answer' WHERE criterion = 'reveals_answer'")
        said = query(
            con,
            """SELECT completion, c.prompt, max(value) FILTER (criterion = 'questions') AS questions,
            max(value) FILTER (criterion = 'on_topic') AS on_topic, max(value) FILTER (criterion = 'helpful') AS helpful,
            max(value) FILTER (criterion = 'reveal_answer') AS reveals_answer
            FROM ratings r JOIN completions c ON c.key = r.completion GROUP BY ALL ORDER BY completion""",
        )
        begin(con, "judged", rubric, "en")
        insert(
            con,
            QUESTIONS,
            said.select(
                source=pl.lit("judged"),
                position=pl.int_range(1, pl.len() + 1),
                rubric=pl.lit(rubric.digest),
                prompt="prompt",
                completion_a="completion",
                completion_b=pl.lit(None, pl.String),
                purpose=pl.lit("ask"),
                chosen_by=pl.lit("random"),
            ),
        )
        noisy = said.with_columns(
            *(
                (pl.col(c.name) + pl.Series(rng.choice([-1, 0, 0, 0, 1], said.height))).clip(1, len(c.levels))
                for c in rubric.criteria
            )
        )
        keys = query(con, "SELECT key FROM questions ORDER BY position")["key"]
        take_answers(
            con,
            "judged",
            pl.DataFrame(
                {
                    "question": keys,
                    "annotator": "openai:made-up",
                    "at": [NOW] * 60,
                    "given": [
                        json.dumps({c.name: row[c.name] for c in rubric.criteria}) for row in noisy.to_dicts()
                    ],
                }
            ),
            kind="model",
        )
    return path, rubric, said, noisy


def test_the_study_of_socratic_llm_as_one_command(study, tmp_path):
    path, rubric, people, judge = study
    assert people.height == 60
    out = tmp_path / "out"
    (found,) = audits("--store", path, "judge", "audit", "--out", out)
    assert found["judge"] == "openai:made-up"
    signals = {signal["signal"]: signal for signal in found["signals"]}
    for name in ("questions", "on_topic", "helpful", "reveals_answer"):
        theirs = stats.pearsonr(judge[name], people[name]).statistic
        measure = signals[name]["measures"]["pearson"]
        assert measure["judge"]["value"] == pytest.approx(theirs)
        assert measure["judge"]["low"] < theirs < measure["judge"]["high"]
        assert measure["people"] is None  # each output was rated once
    score = stats.pearsonr(score_ratings(rubric, judge), score_ratings(rubric, people)).statistic
    assert signals["summary score"]["measures"]["pearson"]["judge"]["value"] == pytest.approx(score)
    assert any("reveal_answer of socratic-llm is taken as the same" in note for note in found["notes"])
    said = ask("--store", path, "judge", "audit").stdout
    assert f"{score:.2f} (" in said
    assert "cannot be told" in said
    page = (out / "audit.md").read_text()
    assert f"{score:.2f} (" in page
    for figure in ("people", "confusion"):
        assert f"({figure}.svg)" in page
        assert (out / f"{figure}.png").read_bytes().startswith(b"\x89PNG")
        assert "#0a0" not in (out / f"{figure}.svg").read_text()  # no stand-in colour is left
    assert not (out / "position.svg").exists()


def test_judgements_of_a_source_that_names_nobody_meet_by_text(study, tmp_path, shared_data):
    """The same outputs, taken in as another source and said to be a model's: perfect agreement."""
    path, *_ = study
    with open_store(path) as con:
        files = find_inputs(
            FORMATS["socratic-llm"], [shared_data / "socratic-llm" / "mathdial_human_eval.json"]
        )
        ingest(con, FORMATS["socratic-llm"], files, Context("gpt"), Origin(read_license("MIT")))
    (found,) = audits(
        "--store",
        path,
        "judge",
        "audit",
        "--by-model",
        "gpt",
        "--judge",
        "gpt",
        "--people",
        "socratic-llm",
        "--rubric",
        "socratic",
    )
    values = {
        signal["signal"]: signal["measures"]["pearson"]["judge"]["value"] for signal in found["signals"]
    }
    assert set(values) == {"questions", "on_topic", "helpful", "reveals_answer", "summary score"}
    assert list(values.values()) == pytest.approx([1.0] * 5)


def ratings(con, source, criterion, values, levels, annotator=None, higher=True):
    """Ratings of the first completions, in order of key."""
    keys = query(con, "SELECT key FROM completions ORDER BY key LIMIT ?", [len(values)])["key"]
    insert(
        con,
        RATINGS,
        pl.DataFrame({"completion": keys, "value": values}).with_columns(
            source=pl.lit(source),
            path=pl.lit(source),
            line=pl.int_range(pl.len()),
            n=pl.lit(0),
            levels=pl.lit(levels),
            criterion=pl.lit(criterion),
            annotator=pl.lit(annotator, pl.String),
        ),
    )
    insert(
        con,
        RUBRICS,
        pl.DataFrame(
            {
                "source": [source],
                "criterion": [criterion],
                "levels": [levels],
                "higher_is_better": [higher],
                "weight": [1.0],
            }
        ),
    )


def test_scales_and_directions_of_two_sources(store, tmp_path):
    fill(store, tmp_path, prompts=4, completions=3)
    model = annotators(store, ["m"], "model")["m"]
    ratings(store, "j", "clear", [1, 2, 3, 4, 5, 1], 5, model)
    ratings(store, "j", "brief", [1, 2, 3, 1, 2, 3], 3, model)
    ratings(store, "j", "kind", [1, 2, 1, 2, 1, 2], 2, model)
    ratings(store, "people", "Clear", [5, 4, 3, 2, 1, 5], 5, higher=False)
    ratings(store, "people", "brief", [1, 2, 3, 4, 5, 5], 5)
    ratings(store, "people", "warmth", [1, 2, 1, 2, 1, 2], 2)
    store.close()
    where = ("--store", tmp_path / "s.duckdb", "judge", "audit")
    (found,) = audits(*where)
    (clear,) = found["signals"]
    assert clear["signal"] == "clear"
    assert clear["measures"]["pearson"]["judge"]["value"] == pytest.approx(1)
    notes = "\n".join(found["notes"])
    assert "runs the other way in people" in notes
    assert "brief of people: 5 levels, the judge has 3; left out" in notes
    assert "kind" in notes
    (found,) = audits(*where, "--same", "kind=warmth")
    assert [signal["signal"] for signal in found["signals"]] == ["clear", "kind"]
    refused = CliRunner().invoke(cli, [*map(str, where), "--same", "kind=warmht"])
    assert "did you mean 'warmth'" in str(refused.exception)


def test_what_cannot_be_told_is_said(store, tmp_path):
    fill(store, tmp_path, prompts=4, completions=3)
    empty = CliRunner().invoke(cli, ["--store", str(tmp_path / "none.duckdb"), "judge", "audit"])
    assert empty.exit_code
    store_path = str(tmp_path / "s.duckdb")
    model = annotators(store, ["m"], "model")["m"]
    pairs = pairs_of(store)
    votes(store, [(pairs[0][1], pairs[0][2], "a", model)], "j")
    votes(store, [(pairs[1][1], pairs[1][2], "a", None)])
    store.close()
    (found,) = audits("--store", store_path, "judge", "audit")
    notes = "\n".join(found["notes"])
    assert "in which order the judge saw its pairs is not known" in notes
    assert "no pair was judged by people and by the judge" in notes
    assert not found["signals"]
    for option, near in (
        ("--judge", "no judge of that name"),
        ("--source", "did you mean"),
        ("--people", "did you mean"),
    ):
        refused = CliRunner().invoke(cli, ["--store", store_path, "judge", "audit", option, "peopel"])
        assert near in str(refused.exception) or "there are" in str(refused.exception)
    with open_store(tmp_path / "new.duckdb", create=True):
        pass
    refused = CliRunner().invoke(cli, ["--store", str(tmp_path / "new.duckdb"), "judge", "audit"])
    assert "no model judged anything" in str(refused.exception)


def test_the_same_seed_gives_the_same_record():
    (evidence,) = make_evidence(drawn_judgements(4, 50).with_columns(judge=pl.lit("m")), "m")
    assert asdict(audit_evidence(evidence, seed=3)) == asdict(audit_evidence(evidence, seed=3))


def test_figures_have_the_colours_of_the_report():
    css = (ROOT / "toolkit" / "report" / "style.css.jinja").read_text().partition("@media")[0]
    for stand_in, colour in LIGHT.items():
        variable = CSS[stand_in].removeprefix("var(").removesuffix(")").replace("currentColor", "--ink")
        assert f"{variable}: {colour};" in css


def test_pages_of_two_judges_name_each_others_figures_apart(tmp_path):
    path = tmp_path / "j.csv"
    lines = [
        f"{judge},{n},{a},{b},first" for judge in ("m|1", "m 2") for n in range(8) for a, b in ("xy", "yx")
    ]
    path.write_text("\n".join(["judge,item,first,second,choice", *lines]))
    ask("judge", "audit", "--judgements", path, "--out", tmp_path / "out")
    page = (tmp_path / "out" / "audit.md").read_text()
    assert "(m-1-position.svg)" in page
    assert "(m-2-position.svg)" in page
    assert "## m\\|1" in page
    first = (tmp_path / "out" / "m-1-position.svg").read_bytes()
    ask("judge", "audit", "--judgements", path, "--out", tmp_path / "out")
    assert (tmp_path / "out" / "m-1-position.svg").read_bytes() == first
