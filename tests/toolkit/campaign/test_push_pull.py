"""Push and pull: a campaign to a real Argilla server and back, through everything that goes wrong on the way."""

import html
import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from faulty import faulty
from invented import fill, with_fit
from problems import restore_keys
from waiting import IDLE, wait_until

from preceptor.annotation.argilla import client as argilla
from preceptor.annotation.rubrics.rubric import read_rubric
from preceptor.annotation.server.environment import make_environment
from preceptor.annotation.server.serve import run_server
from preceptor.schemas.errors import PreceptorError
from preceptor.schemas.support.files import find_user_cache
from preceptor.toolkit.campaign.argilla import (
    PushOptions,
    find_login,
    pull_campaigns,
    push_campaign,
    select_campaigns,
)
from preceptor.toolkit.campaign.questions import Selection
from preceptor.toolkit.cli.main import cli
from preceptor.toolkit.store.connection import open_store, query

PEOPLE = ("anna", "ben", "cleo")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The embedded server, with three annotators."""
    home = tmp_path_factory.mktemp("server") / "home"
    with run_server(home, make_environment(find_user_cache()), annotators=PEOPLE) as started:
        yield started


@dataclass
class Team:
    """A store and the server, as a curator and annotators use them."""

    folder: Path
    server: object
    campaign: str

    @property
    def store(self):
        return self.folder / "s.duckdb"

    def run(self, *arguments):
        done = CliRunner().invoke(cli, ["--store", str(self.store), *map(str, arguments)])
        if done.exception and not isinstance(done.exception, SystemExit | PreceptorError):
            raise done.exception
        return done

    def well(self, *arguments):
        done = self.run(*arguments)
        assert done.exception is None, f"{done.exception} {done.output}"
        return " ".join(done.output.split())

    def refused(self, *arguments):
        done = self.run(*arguments)
        assert isinstance(done.exception, PreceptorError), done.output
        return str(done.exception)

    def push(self, *more, n=20, rubric="pairwise-preference"):
        return [
            "annotate",
            "push",
            "--campaign",
            self.campaign,
            "--rubric",
            rubric,
            "--n",
            n,
            "--seed",
            3,
            *(() if "--api-url" in more else ("--home", self.server.home)),
            *more,
        ]

    def pull(self, *more):
        return [
            "annotate",
            "pull",
            "--campaign",
            self.campaign,
            *(() if "--api-url" in more else ("--home", self.server.home)),
            *more,
        ]

    def by(self, url, key=None):
        return ["--api-url", url, "--api-key", key or self.server.accounts["owner"].api_key]

    def rows(self, sql):
        with open_store(self.store, read_only=True) as con:
            return query(con, sql)

    def questions(self):
        return self.rows(f"SELECT * FROM questions WHERE source = '{self.campaign}' ORDER BY position")

    def ask(self, who, method, path, **body):
        key = self.server.accounts[who].api_key
        answer = httpx.request(
            method,
            f"{self.server.url}/api/v1/{path}",
            headers={"X-Argilla-Api-Key": key},
            timeout=IDLE,
            trust_env=False,
            **body,
        )
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    @property
    def dataset(self):
        every = self.ask("owner", "GET", "me/datasets")["items"]
        return next(d["id"] for d in every if d["name"] == self.campaign)

    def records(self, who="owner", include=""):
        """By question, as somebody sees them."""
        place = f"datasets/{self.dataset}/records"
        if who == "owner":
            found = self.ask(who, "GET", place, params={"limit": 1000, "include": "responses"})["items"]
        else:
            items = self.ask(who, "POST", f"me/{place}/search", params={"limit": 1000}, json={})["items"]
            found = [item["record"] for item in items]
        return {record["external_id"]: record for record in found}

    def answer(self, who, values, status="submitted"):
        """`values` by question: what is chosen, and perhaps a comment."""
        ids = {key: record["id"] for key, record in self.records().items()}
        items = [
            {
                "record_id": ids[key],
                "status": status,
                "values": {name: {"value": v} for name, v in given.items()},
            }
            for key, given in values.items()
        ]
        for start in range(0, len(items), 100):
            done = self.ask(who, "POST", "me/responses/bulk", json={"items": items[start : start + 100]})
            assert not [one["error"] for one in done["items"] if one["error"]]


@pytest.fixture
def team(server, tmp_path, request):
    with open_store(tmp_path / "s.duckdb", create=True) as con:
        fill(con, tmp_path)
    return Team(tmp_path, server, re.sub(r"\W", "-", request.node.name[-60:]).strip("-"))


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(argilla, "WAITS", (0.01, 0.01))


def state(team):
    names = ("questions", "answers", "votes", "ratings", "annotators", "rejects", "sources")
    return {name: team.rows(f"SELECT * FROM {name} ORDER BY ALL").rows() for name in names}


# ---- what annotators see


def test_a_record_shows_prompt_and_sides_and_hides_what_watches(team):
    said = team.well(*team.push())
    assert "20 added, 0 were there" in said
    assert "anna, ben, cleo" in said
    questions = team.questions()
    assert set(questions["purpose"]) == {"ask", "repeat"}
    assert questions["asked_at"].null_count() == 0
    texts = dict(team.rows("SELECT key, content FROM completions").rows())
    records = team.records("anna")
    assert set(records) == set(questions["key"])
    for row in questions.iter_rows(named=True):
        record = records[row["key"]]
        a, b = texts[row["completion_a"]], texts[row["completion_b"]]
        shown = (record["fields"]["first"], record["fields"]["second"])
        assert shown == ((a, b) if row["shown_first"] == "a" else (b, a))
        assert record["fields"]["prompt"][-1]["role"] == "user"
        assert not record["metadata"]
    everything = json.dumps(
        [
            *records.values(),
            team.ask("anna", "GET", f"datasets/{team.dataset}"),
            team.ask("anna", "GET", f"datasets/{team.dataset}/questions"),
        ]
    )
    assert not {"known", "repeat", "purpose", "expected"} & set(everything.replace('"', " ").split())
    metadata = team.records()[questions["key"][0]]["metadata"]
    assert (metadata["task"], metadata["source"]) == ("mnemonic", "prompts")


def test_markup_stays_text_and_settings_are_the_rubric_s(team):
    team.well(*team.push("--overlap", 2))
    place = f"datasets/{team.dataset}"
    fields = team.ask("owner", "GET", f"{place}/fields")["items"]
    assert [(f["name"], f["settings"]["type"], f["settings"]["use_markdown"]) for f in fields] == [
        ("prompt", "chat", False),
        ("first", "text", False),
        ("second", "text", False),
    ]
    (label, comment) = team.ask("owner", "GET", f"{place}/questions")["items"]
    assert [o["text"] for o in label["settings"]["options"]] == ["A is better", "B is better", "Tie"]
    assert (label["required"], comment["required"]) == (True, False)
    dataset = team.ask("owner", "GET", place)
    assert dataset["distribution"]["min_submitted"] == 2
    assert len(dataset["guidelines"]) > 100
    assert dataset["status"] == "ready"


def test_long_odd_and_empty_texts_go_through(team):
    row = {
        "id": "x",
        "task": "tutor",
        "group": "x",
        "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "<script>alert(1)</script> **bold** " * 900},
            {"role": "assistant", "content": "a<b&c " * 3333},
            {"role": "user", "content": "ўі \u202e \U0001f600 | \\n"},
        ],
        "completions": [{"id": "x1", "content": "<b>no</b>" * 4000}, {"id": "x2", "content": "`x`  \n\n* a"}],
    }
    (team.folder / "odd.jsonl").write_text(json.dumps(row))
    team.well("ingest", "prompts", team.folder / "odd.jsonl", "--source", "odd")
    team.well(*team.push("--source", "odd", "--repeat", 0, n=1))
    (record,) = team.records("anna").values()
    shown = {record["fields"]["first"], record["fields"]["second"]}
    assert shown == {"&lt;b&gt;no&lt;/b&gt;" * 4000, "`x`  \n\n* a"}
    turns = record["fields"]["prompt"]
    assert [t["role"] for t in turns] == ["system", "user", "assistant", "user"]
    assert turns[1]["content"].startswith("[31,500 characters, shown from its end] … ")
    assert len(turns[2]["content"]) <= 20_000
    note, _, end = turns[2]["content"].partition(" … ")
    assert note == "[19,998 characters, shown from its end]"
    assert set(html.unescape(end).split()[1:]) == {"a<b&c"}
    assert "a<b&c".endswith(html.unescape(end).split()[0])
    assert turns[3]["content"] == "ўі \u202e \U0001f600 | \\n"


def test_suggestions_of_the_fit_only_when_asked(team):
    with open_store(team.store) as con:
        with_fit(con, lambda n: [0.9] * n, lambda n: [0.1] * n)
    team.well(*team.push("--suggest"))
    records = team.ask(
        "owner", "GET", f"datasets/{team.dataset}/records", params={"include": "suggestions", "limit": 100}
    )
    sides = dict(team.questions().select("key", "shown_first").rows())
    for record in records["items"]:
        (one,) = record["suggestions"]
        assert one["value"] == ("first" if sides[record["external_id"]] == "a" else "second")
        assert one["score"] == 0.9
        assert one["agent"].startswith("preceptor fit ")


def test_the_functions_do_what_the_commands_do(team, server, named):
    rubric, login = read_rubric("pairwise-preference"), find_login(home=server.home)
    assert login.annotators == PEOPLE
    options = PushOptions(Selection(20, seed=3), new_annotators=("dan", "anna"))
    accounts, steps = {}, []
    done = push_campaign(
        team.store,
        team.campaign,
        rubric,
        login,
        options,
        watch=lambda *step: steps.append(step),
        on_account=accounts.setdefault,
    )
    assert (done.chosen.total, done.records.added, done.dataset.overlap) == (20, 20, 3)
    assert done.annotators == ["anna", "ben", "cleo", "dan"]
    assert list(done.passwords) == ["dan"]
    assert accounts == done.passwords | {"anna": None}
    assert "password" not in repr(done) + repr(login)
    assert steps == [(0, 20), (20, 20)]
    said = team.well(*team.push())
    assert "20; none new" in said
    assert "0 added, 20 were there" in said
    assert done.url in said
    team.answer("anna", choices(team))
    with open_store(team.store) as con:
        assert select_campaigns(con) == ([team.campaign], [])
        seen = []
        (one,) = pull_campaigns(con, login, kind="expert", on_pulled=seen.append)
        assert seen == [one]
    assert (one.questions, one.taken.new, one.pulled.drafts) == (20, 20, 0)
    assert one.taken.by_annotator["annotator"].to_list() == [named("anna")]
    assert "0 answers new, 0 changed, 0 taken back, 20 as they were" in team.well(*team.pull())


# ---- what comes back


def choices(team, shift=0):
    keys = team.questions()["key"]
    return {key: {"preference": ("first", "second", "tie")[(i + shift) % 3]} for i, key in enumerate(keys)}


def test_answers_come_back_unshuffled_with_ties_and_comments(team, named):
    team.well(*team.push())
    given = choices(team)
    first = next(iter(given))
    given[first]["comment"] = "  it rhymes\nwith words "
    team.answer("anna", given)
    keys = list(given)
    team.answer("ben", {keys[0]: {"preference": "tie"}}, "draft")
    team.answer("ben", {keys[1]: {"preference": "tie", "comment": "No\nsuch term"}}, "discarded")
    said = team.well(*team.pull("--kind", "expert"))
    assert "0 of 20 questions have all 3 answers, 20 have some; 20 answers new" in said
    assert "not taken: 1 drafts, 1 discarded" in said
    assert "1 comments of drafts and discarded answers are not stored:" in said
    assert ": No such term" in said
    assert named("anna") in said
    assert "anna" not in said
    assert "next: preceptor fuse" in said
    votes = {row["line"]: row for row in team.rows("SELECT * FROM votes").iter_rows(named=True)}
    assert len(votes) == 20
    for row in team.questions().iter_rows(named=True):
        other = "b" if row["shown_first"] == "a" else "a"
        wanted = {"first": row["shown_first"], "second": other, "tie": "tie"}[given[row["key"]]["preference"]]
        assert votes[row["position"]]["choice"] == wanted
        assert votes[row["position"]]["shown_first"] == row["shown_first"]
    assert team.rows("SELECT comment FROM answers WHERE comment IS NOT NULL").rows() == [
        ("it rhymes\nwith words",)
    ]
    assert team.rows("SELECT kind, pseudonym FROM annotators").rows() == [("expert", named("anna"))]
    assert "anna" not in str(state(team)).replace("annotat", "")


def test_pulling_again_changes_nothing_an_edit_supersedes_a_deletion_withdraws(team):
    team.well(*team.push())
    for i, who in enumerate(PEOPLE):
        team.answer(who, choices(team, i))
    team.well(*team.pull())
    before = state(team)
    assert len(before["votes"]) == 60
    said = team.well(*team.pull())
    assert "0 answers new, 0 changed, 0 taken back, 60 as they were" in said
    assert "next:" not in said
    assert state(team) == before
    keys = team.questions()["key"]
    team.answer("ben", {keys[0]: {"preference": "first", "comment": "changed my mind"}})
    mine = team.records()[keys[1]]["responses"][0]
    team.ask("owner", "DELETE", f"responses/{mine['id']}")
    team.answer("cleo", {keys[2]: {"preference": "tie"}}, "discarded")
    said = team.well(*team.pull())
    assert "0 answers new, 1 changed, 2 taken back, 57 as they were; not taken: 0 drafts, 1 discarded" in said
    assert team.rows("SELECT count(*) AS n FROM answers")["n"][0] == 61
    assert team.rows("SELECT count(*) AS n FROM votes")["n"][0] == 58


def test_pushing_again_adds_only_what_is_new_and_keeps_answers(team):
    team.well(*team.push())
    team.answer("anna", choices(team))
    before = team.records()
    said = team.well(*team.push())
    assert "20; none new" in said
    assert "0 added, 20 were there" in said
    assert team.records() == before
    said = team.well(*team.push(n=33))
    assert "13 added, 20 were there" in said
    after = team.records()
    assert len(after) == 33
    assert {key: after[key] for key in before} == before
    assert list(after)[:20] == list(before)


def test_another_overlap_while_there_are_answers_keeps_them(team):
    def asks():
        every = team.ask("owner", "GET", "me/datasets")["items"]
        return [d["distribution"]["min_submitted"] for d in every if d["name"] == team.campaign]

    assert "2 answers to each question" in team.well(*team.push("--overlap", 2))
    assert "2 answers to each question" in team.well(*team.push())  # stays as it was begun
    assert asks() == [2]
    assert "1 answer to each question (2 before)" in team.well(*team.push("--overlap", 1))
    team.answer("anna", choices(team))
    before = team.records(include="responses")
    said = team.well(*team.push("--overlap", 3, n=25))
    assert "5 added, 20 were there" in said
    assert "3 answers to each question (1 before)" in said
    assert asks() == [3]
    after = team.records(include="responses")
    assert [after[key]["responses"] for key in before] == [r["responses"] for r in before.values()]
    assert "20 answers new" in team.well(*team.pull())


def test_a_rating_rubric_there_and_back(team):
    team.well(*team.push(rubric="socratic", n=12))
    place = f"datasets/{team.dataset}"
    questions = team.ask("owner", "GET", f"{place}/questions")["items"]
    *criteria, comment = questions
    assert comment["name"] == "comment"
    given = {q["name"]: q["settings"]["options"][-1]["value"] for q in criteria}
    keys = team.questions()["key"]
    team.answer("anna", dict.fromkeys(keys, given))
    team.well(*team.pull())
    rows = team.rows("SELECT criterion, value, levels FROM ratings")
    assert rows.height == 12 * len(criteria)
    assert (rows["value"] == rows["levels"]).all()
    assert {q["name"]: len(q["settings"]["options"]) for q in criteria} == dict(
        rows.select("criterion", "levels").unique().rows()
    )


def test_more_records_than_a_page_are_read_once_each(team, monkeypatch):
    """Records of one request may have the same time; none is skipped, whatever page they end on."""
    from preceptor.annotation.argilla import records

    team.well(*team.push(n=60))
    team.answer("anna", choices(team))
    own = records._read_pages

    def shuffled(server, dataset, page, more, found):
        if page == 7:  # the first reading skips some, as offsets over equal times do
            own(server, dataset, page, more, found)
            for id in list(found)[::9]:
                del found[id]
            return 60
        return own(server, dataset, page, more, found)

    monkeypatch.setattr(records, "_read_pages", shuffled)
    monkeypatch.setattr(records.list_records, "__defaults__", ("", 7))
    assert "60 answers new" in team.well(*team.pull())


# ---- what goes wrong


@pytest.fixture
def proxy(server):
    with faulty(server.url) as made:
        yield made


@pytest.mark.parametrize("how", ["drop", "drop-answer", 500, 429])
def test_a_passing_failure_is_passed_over(team, proxy, how):
    for method, path in (("PUT", "records/bulk"), ("GET", "records"), ("GET", "version")):
        proxy.fails(method, path, how)
    said = team.well(*team.push(*team.by(proxy.url), "--annotator", "anna"))
    assert "20 added, 0 were there" in said
    assert "asking again in" in said
    assert len(team.records()) == 20


@pytest.mark.parametrize("how", ["drop-answer", 503])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "datasets$"),
        ("POST", "/fields"),
        ("POST", "/questions"),
        ("PUT", "publish"),
        ("PUT", "bulk"),
        ("POST", "metadata"),
    ],
)
def test_a_server_that_stops_half_way_loses_nothing_and_the_next_run_completes(
    team, proxy, monkeypatch, how, method, path
):
    monkeypatch.setattr("preceptor.annotation.argilla.push.BATCH", 8)
    proxy.fails(method, path, how, times=99, after=0 if path in ("datasets$", "publish") else 1)
    said = team.refused(*team.push(*team.by(proxy.url)))
    assert "nothing is lost" in said
    assert "run this command again" in said
    chosen = team.questions()
    assert chosen.height == 20
    assert chosen["asked_at"].null_count() == 20
    proxy.faults.clear()
    said = team.well(*team.push(*team.by(proxy.url)))
    assert len(team.records()) == 20
    assert team.questions().drop("asked_at").equals(chosen.drop("asked_at"))
    assert team.questions()["asked_at"].null_count() == 0
    if path == "bulk":
        assert "were there" in said


def test_a_pull_that_breaks_off_takes_nothing(team, proxy, monkeypatch):
    team.well(*team.push(n=40))
    team.answer("anna", choices(team))
    monkeypatch.setattr("preceptor.annotation.argilla.records.list_records.__defaults__", ("", 15))
    before = state(team)
    proxy.fails("GET", "offset=15", "drop-answer", times=99)
    assert "broke off" in team.refused(*team.pull(*team.by(proxy.url)))
    assert state(team) == before
    proxy.faults.clear()
    assert "40 answers new" in team.well(*team.pull(*team.by(proxy.url)))


def test_a_wrong_key_a_wrong_address_and_no_server_are_said(team, proxy, tmp_path):
    before = state(team)
    key = "Zwaluwstaart-7741"
    said = team.refused(*team.push(*team.by(team.server.url, key)))
    assert "does not know this API key" in said
    assert key not in said
    assert "this API key's owner may not do that" in team.refused(
        *team.push(
            *team.by(team.server.url, team.server.accounts["anna"].api_key), "--workspace", "preceptor"
        )
    )
    assert "no server answers there" in team.refused(*team.push(*team.by("http://127.0.0.1:9")))
    assert "expected an address" in team.refused(*team.push(*team.by("ftp://x")))
    assert "holds a space" in team.refused(*team.push(*team.by(team.server.url, "a b")))
    assert "PRECEPTOR_ARGILLA_API_KEY" in team.refused(*team.push("--api-url", team.server.url))
    nothing = team.refused(*team.push()[:-1], tmp_path / "none")
    assert "preceptor annotate serve" in nothing
    proxy.fails("GET", "version", 404, times=99)
    assert "is no Argilla server" in team.refused(*team.push(*team.by(proxy.url)))
    # Where the server refuses after questions were chosen, they wait for the next run.
    assert {name: rows for name, rows in state(team).items() if name in ("answers", "votes")} == {
        name: rows for name, rows in before.items() if name in ("answers", "votes")
    }


def test_a_dataset_or_campaign_that_asks_something_else_is_left_alone(team, tmp_path):
    team.well(*team.push())
    said = team.refused(*team.push(rubric="socratic"))
    assert "was begun with another rubric" in said
    other = Team(tmp_path / "other", team.server, team.campaign)
    other.folder.mkdir()
    with open_store(other.store, create=True) as con:
        fill(con, other.folder)
    assert "was made for rubric 'pairwise-preference'" in other.refused(*other.push(rubric="socratic"))
    before = team.records()
    # Another store, same rubric and name: the questions' keys are equal where the pairs are, the sides are not.
    with open_store(other.store) as con:
        con.execute("DELETE FROM questions")
        con.execute("DELETE FROM sources WHERE name = ?", [other.campaign])
    assert "they belong to different stores" in other.refused(
        *[*other.push()[:-4], "--seed", 4, "--home", team.server.home]
    )
    assert "they belong to different stores" in other.refused(*other.pull())
    assert team.records() == before
    workspace = next(
        w["id"] for w in team.ask("owner", "GET", "me/workspaces")["items"] if w["name"] == "preceptor"
    )
    foreign = team.ask(
        "owner", "POST", "datasets", json={"name": f"{team.campaign}-x", "workspace_id": workspace}
    )
    for name in ("first", "second"):
        team.ask(
            "owner",
            "POST",
            f"datasets/{foreign['id']}/fields",
            json={"name": name, "title": name, "required": True, "settings": {"type": "text"}},
        )
    team.ask(
        "owner",
        "POST",
        f"datasets/{foreign['id']}/questions",
        json={"name": "better", "title": "?", "required": True, "settings": {"type": "text"}},
    )
    team.ask("owner", "PUT", f"datasets/{foreign['id']}/publish")
    team.campaign += "-x"
    assert "there already with other fields (prompt)" in team.refused(*team.push())


def test_names_that_are_wrong_are_answered_with_the_right_ones(team):
    team.well(*team.push())
    assert "did you mean 'anna'" in team.refused(*team.push("--annotator", "ana"))
    assert "did you mean 'preceptor'" in team.refused(*team.pull("--workspace", "precepter"))
    assert f"did you mean '{team.campaign}'" in team.refused(
        "annotate", "pull", "--campaign", team.campaign[1:]
    )
    assert "no rubric 'pairwise-preferense'" in team.refused(*team.push(rubric="pairwise-preferense"))
    with open_store(team.store) as con:
        con.execute("UPDATE sources SET name = 'gone' WHERE name = ?", [team.campaign])
        con.execute("UPDATE questions SET source = 'gone' WHERE source = ?", [team.campaign])
    assert "no dataset 'gone'" in team.refused(
        "annotate", "pull", "--campaign", "gone", "--home", team.server.home
    )


def test_annotators_are_added_and_made(team):
    said = team.well(
        *team.push("--workspace", f"w-{team.campaign}"[:40], "--annotator", "ben", "--new-annotator", "dora")
    )
    assert "ben, dora" in said
    assert "anna" not in said
    password = said.partition("password ")[2].split()[0]
    token = httpx.post(
        f"{team.server.url}/api/v1/token", data={"username": "dora", "password": password}, trust_env=False
    )
    assert token.status_code == 201
    again = team.well(*team.push("--workspace", f"w-{team.campaign}"[:40], "--new-annotator", "dora"))
    assert "there is a user dora already, whose password stays" in again


def test_the_licence_of_the_answers(team):
    team.well(*team.push())
    licences = f"SELECT license, redistribution FROM sources WHERE name = '{team.campaign}'"
    assert team.rows(licences).rows() == [("NOASSERTION", False)]
    team.well(*team.push("--license", "CC-BY-4.0"))
    assert team.rows(licences).rows() == [("CC-BY-4.0", True)]
    assert "CC-BY-SA-4.0" in team.refused(*team.push("--license", "CC-BYSA-4.0"))


def test_nothing_was_pushed_yet(team):
    assert "no campaign was pushed yet" in team.well("annotate", "pull", "--home", team.server.home)


def test_campaigns_of_forms_only_are_passed_over(team):
    form = ("annotate", "export", "--rubric", "pairwise-preference", "--n", 4, "--campaign")
    team.well(*form, "by-mail", "--out", team.folder / "m.csv")
    team.well(*team.push())
    team.well(
        "annotate",
        "export",
        "--campaign",
        team.campaign,
        "--rubric",
        "pairwise-preference",
        "--out",
        team.folder / "both.csv",
    )
    team.answer("anna", choices(team))
    said = team.well("annotate", "pull", "--home", team.server.home)
    assert "20 answers new" in said
    assert "not pulled: by-mail, exported as forms only" in said
    assert "import FILE --campaign by-mail" in team.refused(
        *team.pull()[:2], "--campaign", "by-mail", "--home", team.server.home
    )


# ---- the whole way


@pytest.mark.slow
def test_from_a_push_of_200_pairs_to_a_dataset(team):
    """Push, three annotators over HTTP, pull, fuse, build; then what the fit would ask next."""
    with open_store(team.store) as con:
        fill(con, team.folder, source="words", prompts=30, completions=5)
    team.well(*team.push("--source", "words", "--license", "CC-BY-4.0", "--select", "coverage", n=200))
    # An answer is the better the higher its number is; each annotator errs now and then, ben always says tie.
    quality = dict(team.rows("SELECT key, ref[-1]::INT FROM completions").rows())
    rng = np.random.default_rng(7)
    for who in PEOPLE:
        given = {}
        for row in team.questions().iter_rows(named=True):
            a, b = quality[row["completion_a"]], quality[row["completion_b"]]
            first = (a > b) == (row["shown_first"] == "a")
            first = first if rng.random() < 0.9 else not first
            given[row["key"]] = {
                "preference": "tie" if who == "ben" and rng.random() < 0.3 else ("second", "first")[first]
            }
        team.answer(who, given)
    assert "600 answers new" in team.well(*team.pull())
    said = team.well("fuse", "--target", "expressed", "--seed", 1)
    assert "600 votes" in said
    recipe = {
        "name": "words",
        "task": "mnemonic",
        "sources": ["words"],
        "target": 0.0,
        "publish_under": "CC-BY-4.0",
        "pairs": {"policy": "best-worst"},
        "splits": {"train": 1, "validation": 0, "test": 0},
    }
    (team.folder / "r.yaml").write_text(json.dumps(recipe))
    team.well("build", team.folder / "r.yaml", "--out", team.folder / "dist")
    rows = pl.read_parquet(team.folder / "dist" / "preference_meta" / "*.parquet")
    with open_store(team.store, read_only=True) as con:
        rows = restore_keys(con, rows, recipe["name"])
    right = [
        quality[c] > quality[r] for c, r in rows.select("chosen_completion", "rejected_completion").rows()
    ]
    assert rows.height == 30
    assert sum(right) >= 28
    # Now that a fit is there it chooses; what is known is known from it; nothing is asked twice.
    said = team.well(*team.push("--source", "words", n=260))
    assert "chosen by information (fit " in said
    assert "60 added, 200 were there" in said
    new = team.questions().filter(pl.col("position") > 200)
    known = new.filter(pl.col("purpose") == "known")
    assert known.height > 5
    for row in known.iter_rows(named=True):
        better = "a" if quality[row["completion_a"]] > quality[row["completion_b"]] else "b"
        assert row["expected"] == better
    pairs = team.questions().filter(pl.col("purpose") != "repeat").select("completion_a", "completion_b")
    assert pairs.select(pl.concat_list(pl.all()).list.sort()).n_unique() == pairs.height
    assert "campaigns" in team.well("status")


@pytest.mark.slow
def test_a_push_that_is_killed_is_completed_by_the_next(team, proxy):
    proxy.fails("PUT", "records/bulk", "hang", times=99, after=1)
    arguments = ["--store", team.store, *team.push(*team.by(proxy.url), n=170)]
    process = subprocess.Popen([sys.executable, "-m", "preceptor.toolkit.cli.main", *map(str, arguments)])
    try:
        wait_until(lambda: sum("records/bulk" in path for path in proxy.asked) == 2, process)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    proxy.faults.clear()
    assert len(team.records()) == 100
    assert team.questions()["asked_at"].null_count() == 170
    assert "70 added, 100 were there" in team.well(*team.push(*team.by(proxy.url), n=170))
    assert team.questions()["asked_at"].null_count() == 0
