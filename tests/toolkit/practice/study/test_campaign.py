"""A campaign on pages: from push to pull, over HTTP; who answers what, what is taken back, who leaves."""

import json
import signal
import sqlite3
from contextlib import closing

import pytest
from studying import Annotator, prepare_campaign, serving

from preceptor.toolkit.practice.study.campaign import find_page_campaigns
from preceptor.toolkit.store.connection import open_store, query, run

PULL = ("annotate", "pull")


def rows(folder, sql):
    with open_store(folder / "preceptor.duckdb", read_only=True) as con:
        return query(con, sql)


@pytest.fixture
def campaign(tmp_path, preceptor):
    return prepare_campaign(tmp_path, preceptor)


@pytest.fixture
def served(campaign):
    with serving(campaign.folder, study="week-1") as process:
        yield process


def join_in(served, name):
    """Open a personal link, and agree."""
    return Annotator(served.url, served.links[name]).agree()


def test_three_annotators_from_push_to_a_fit(campaign):
    with serving(campaign.folder, study="week-1") as served:
        asked = {}
        for name, choice in (("ada", "picture"), ("ben", "picture"), ("cleo", "tie")):
            one = join_in(served, name)
            asked[name] = []
            while one.question:
                asked[name].append(one.question)
                if choice == "tie":
                    one.judge("tie")
                else:
                    one.prefer(choice, comment="it is  livelier" if len(asked[name]) == 1 else "")
            assert "You have answered everything" in one.page.text
            assert "Of 4 questions, " in one.page.text
        first = campaign(*PULL)  # while it is served
        team = Annotator(served.url, served.teacher).page.text
    assert asked["ada"] == asked["ben"] == asked["cleo"]
    assert len(asked["ada"]) == 4
    assert "Of 4 questions, 4 have all their answers" in team
    assert "4 of 4 questions have all 3 answers" in first
    assert "12 answers new" in first
    assert "next: preceptor fuse" in first
    votes = rows(campaign.folder, "FROM votes ORDER BY key")
    better = rows(
        campaign.folder,
        """SELECT c.author, v.choice FROM votes v JOIN completions c
        ON c.key = CASE v.choice WHEN 'b' THEN v.completion_b ELSE v.completion_a END WHERE v.choice <> 'tie'""",
    )
    assert votes.height == 12
    assert set(better["author"]) == {"tuned"}  # a and b of the store, whichever side was shown first
    assert (votes["choice"] == "tie").sum() == 4
    shown = rows(campaign.folder, "SELECT shown_first FROM questions")["shown_first"]
    assert set(votes["shown_first"]) <= set(shown)
    assert set(rows(campaign.folder, "SELECT came_by FROM answers")["came_by"]) == {"study"}
    assert (
        rows(campaign.folder, "SELECT comment FROM answers WHERE comment IS NOT NULL")["comment"].to_list()
        == ["it is livelier"] * 2
    )
    assert not {"ada", "ben", "cleo"} & set(rows(campaign.folder, "FROM annotators")["pseudonym"])
    again = campaign(*PULL)
    assert "0 answers new, 0 changed, 0 taken back, 12 as they were" in again
    assert "next" not in again
    assert rows(campaign.folder, "FROM votes ORDER BY key").equals(votes)
    campaign("annotate", "agreement", "--source", "week-1")
    campaign("fuse", "--seed", 1, "--target-accept", 0.99)


def test_a_form_filled_in_by_the_same_name_is_the_same_annotator(campaign, served):
    ada = join_in(served, "ada")
    ada.prefer("picture")
    campaign(*PULL)
    campaign("annotate", "export", "--campaign", "week-1", "--annotator", "ada", "--out", "f.jsonl")
    (form,) = campaign.folder.glob("f-ada*.jsonl")
    lines = [json.loads(line) for line in form.read_text().splitlines()]
    filled = [json.dumps(line | {"preference": "tie"}) for line in lines]
    (campaign.folder / "filled.jsonl").write_text("\n".join(filled))
    campaign("annotate", "import", "filled.jsonl", "--campaign", "week-1")
    assert rows(campaign.folder, "FROM annotators").height == 1
    assert rows(campaign.folder, "FROM votes").height == 4  # the one from the pages is replaced


def test_what_was_confirmed_outlives_a_killed_server(campaign):
    with serving(campaign.folder, study="week-1") as served:
        ada = join_in(served, "ada")
        sent = [ada.prefer("picture") for _ in range(3)]
        left = ada.question
        served.send_signal(signal.SIGKILL)
        served.wait()
    with serving(campaign.folder, study="week-1") as served:
        ada = Annotator(served.url, served.links["ada"])
        assert ada.question == left
        # The form that was sent last comes again, with another choice: the first one counts.
        again = ada.client.post(
            "/judge", data=ada.fields() | {n: sent[-1][n] for n in ("uid", "question")} | {"choice": "tie"}
        )
        assert again.status_code == 200
    campaign(*PULL)
    votes = rows(campaign.folder, "SELECT choice FROM votes")
    assert votes.height == 3
    assert "tie" not in votes["choice"]


def test_an_answer_is_taken_back_and_a_question_left_out(campaign, served):
    ada = join_in(served, "ada")
    first = ada.question
    assert "/undo" not in ada.page.text
    ada.prefer("picture")
    assert "1 answers new" in campaign(*PULL)
    ada.post("/undo")
    assert ada.question == first
    said = campaign(*PULL)
    assert "1 taken back" in said
    assert rows(campaign.folder, "FROM votes").is_empty()
    ada.judge("skip", comment="I do not know the subject")
    second = ada.question
    assert second != first
    said = campaign(*PULL)
    assert "1 discarded" in said
    assert "I do not know the subject" in said
    while ada.question:
        ada.prefer("rule")
    assert "Left out: 1" in ada.page.text
    ada.post("/reopen")
    assert ada.question == first
    ada.judge("tie")
    assert "4 answers new" in campaign(*PULL)
    assert rows(campaign.folder, "FROM votes").height == 4
    # The history has what was taken back.
    assert rows(campaign.folder, "FROM answers WHERE superseded_at IS NOT NULL").height == 1


def test_no_question_gets_more_answers_than_are_wanted(tmp_path, preceptor):
    campaign = prepare_campaign(tmp_path, preceptor, "pairwise-preference", "--overlap", 1)
    with serving(campaign.folder, study="week-1") as served:
        people = [join_in(served, name) for name in ("ada", "ben", "cleo")]
        shown = [one.question for one in people]
        assert len(set(shown)) == 3  # what one looks at is not shown to another
        people[0].prefer("picture")
        people[0].prefer("picture")
        assert people[0].question is None
        assert "Others look at the last questions now (2)" in people[0].page.text
        for one in people[1:]:
            one.prefer("picture")
            assert one.question is None
    assert "4 of 4 questions answered" in campaign(*PULL)
    assert rows(campaign.folder, "FROM votes").height == 4


def test_ratings_come_level_by_level(tmp_path, preceptor):
    campaign = prepare_campaign(tmp_path, preceptor, "socratic")
    with serving(campaign.folder, study="week-1") as served:
        ada = join_in(served, "ada")
        assert len(ada.sides) == 1
        ada.judge(**{"level-0": 2, "level-1": 4, "level-2": 5})
        assert ada.page.status_code == 422  # a criterion is missing
        ada.go_on()
        ada.judge(**{"level-0": 3, "level-1": 4, "level-2": 5, "level-3": 1})
        assert ada.page.status_code == 422  # the scale has two levels
        ada.go_on()
        ada.judge(**{"level-0": 2, "level-1": 4, "level-2": 5, "level-3": 1})
        assert ada.question
    campaign(*PULL)
    ratings = rows(campaign.folder, "SELECT criterion, value, levels FROM ratings ORDER BY criterion")
    assert ratings.rows() == [
        ("helpful", 5, 5),
        ("on_topic", 4, 5),
        ("questions", 2, 2),
        ("reveals_answer", 1, 2),
    ]


def test_who_leaves_is_forgotten_in_the_store_too(campaign, served):
    for name in ("ada", "ben"):
        one = join_in(served, name)
        one.prefer("picture")
    campaign(*PULL)
    own = one.client.get("/me/answers.json").json()
    assert [event["kind"] for event in own["events"]] == ["consent", "judgement"]
    assert own["events"][1]["shown"]
    one.page = one.client.get("/me")
    one.page = one.client.post("/withdraw", data=one.fields() | {"sure": "yes"})
    assert "You have left" in one.page.text
    with closing(sqlite3.connect(campaign.folder / "study-home/week-1/study.db")) as con:
        assert con.execute("SELECT count(*) FROM events").fetchone() == (2,)
        assert con.execute("SELECT count(*) FROM given").fetchone() == (1,)
    assert "has left this campaign" in campaign(*campaign.push, "--annotator", "ben", code=2)
    assert "1 annotators left since the last pull" in campaign(*PULL)
    assert rows(campaign.folder, "FROM votes").height == 1
    assert rows(campaign.folder, "FROM annotators").height == 1
    assert "annotators left" not in campaign(*PULL)
    assert "was forgotten in this store" in campaign(*campaign.push, "--annotator", "ben", code=2)


def test_texts_that_leave_the_store_leave_the_pages(campaign, served):
    """As when the learner who wrote them is forgotten, or their source is dropped."""
    ada = join_in(served, "ada")
    ada.prefer("picture")
    gone = ada.question
    campaign(*PULL)
    with open_store(campaign.folder / "preceptor.duckdb") as con:
        run(con, "DELETE FROM questions WHERE key = ?", [gone])
    ada.prefer("picture")  # a form that was open
    said = campaign(*PULL)
    assert "rejected" not in said
    assert rows(campaign.folder, "FROM votes").height == 1
    with closing(sqlite3.connect(campaign.folder / "study-home/week-1/study.db")) as con:
        (row,) = con.execute("SELECT messages, first, second FROM questions WHERE withdrawn").fetchall()
    assert row == ("[]", "", "")
    while ada.question:
        assert ada.question != gone
        ada.prefer("picture")


def test_a_journal_from_an_older_copy_takes_nothing_back(campaign):
    with serving(campaign.folder, study="week-1") as served:
        ada = join_in(served, "ada")
        ada.prefer("picture")
        journal = campaign.folder / "study-home/week-1/study.db"
        with closing(sqlite3.connect(journal)) as con:
            con.execute("VACUUM INTO ?", [str(campaign.folder / "copy")])
        ada.prefer("picture")
    campaign(*PULL)
    for name in ("study.db-wal", "study.db-shm"):
        journal.with_name(name).unlink(missing_ok=True)
    journal.write_bytes((campaign.folder / "copy").read_bytes())
    assert "1 answers that were pulled earlier are not in the journal" in " ".join(campaign(*PULL).split())
    assert rows(campaign.folder, "FROM votes").height == 2


def test_pages_join_by_code_and_are_found_without_notes(campaign):
    campaign(*campaign.push, "--code", "frog")
    (campaign.folder / ".preceptor.duckdb.places").unlink()
    with serving(campaign.folder, study="week-1") as served:
        dora = Annotator(served.url, "/join")
        dora.page = dora.client.post("/join", data=dora.fields() | {"code": "frog", "name": "Dora"})
        dora.agree().prefer("picture")
        # A name that is already there cannot be taken, and a personal link is not guessed from it.
        other = Annotator(served.url, "/join")
        other.page = other.client.post("/join", data=other.fields() | {"code": "frog", "name": "ADA"})
        assert other.page.status_code == 422
        assert (
            dora.client.post("/judge", data=dora.fields() | {"csrf": "0", "choice": "tie"}).status_code == 403
        )
        assert dora.client.get("/pack").status_code == 404
    campaign(*PULL)
    assert rows(campaign.folder, "FROM votes").height == 1
    assert "differs in case alone" in " ".join(
        campaign(*campaign.push, "--annotator", "dora", code=2).split()
    )


def test_what_does_not_fit_is_named(campaign, tmp_path_factory, preceptor):
    assert "is for --serve argilla" in campaign(*campaign.push, "--suggest", code=2)
    assert "is for --serve study" in campaign(
        "annotate", "push", "--campaign", "w", "--rubric", "pairwise-preference", "--code", "x", code=2
    )
    (campaign.folder / "consent.txt").write_text("x")
    said = campaign(
        "study", "push", "--study", "week-1", "--source", "mine", "--consent", "consent.txt", code=2
    )
    assert "not a study" in said
    assert "preceptor annotate pull --campaign week-1" in campaign(
        "study", "pull", "--study", "week-1", code=2
    )
    # Another store, to which the folder does not belong.
    other = tmp_path_factory.mktemp("other")
    theirs = prepare_campaign(other, preceptor, "pairwise-preference", "--seed", 5)
    said = theirs(*theirs.push, "--home", campaign.folder / "study-home", code=2)
    assert "those of another store" in " ".join(said.split())
    assert set(find_page_campaigns(campaign.folder / "preceptor.duckdb", campaign.folder / "study-home")) == {
        "week-1"
    }
