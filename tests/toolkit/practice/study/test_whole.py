"""A study from push to pull: three learners over HTTP, then a fit and a dataset; nothing lost, nothing twice."""

import json
import shutil
import signal
import sqlite3
from contextlib import closing

import httpx
import pytest
from studying import Learner, serving

from preceptor.toolkit.store.connection import open_store, query

ANSWERS = {"quell": "to suppress", "candid": "honest", "arid": "dry", "mirth": "joy"}


def rows(folder, sql):
    with open_store(folder / "preceptor.duckdb", read_only=True) as con:
        return query(con, sql)


def study_for_a_while(learner, failures, n=12):
    """Answer n times; each item is failed so often first. Votes and ratings are given."""
    failed, voted = {}, 0
    for _ in range(n):
        word = next((word for word in ANSWERS if word in learner.asked), None) if learner.kind else None
        if word is None:
            break
        failed[word] = failed.get(word, -1) + 1
        learner.answer(ANSWERS[word] if failed[word] >= failures else "no idea")
        if "/say/vote" in learner.page.text:
            first = learner.page.text.split("<h3>The first</h3>")[1].split("</section>")[0]
            learner.say("vote", choice="first" if "a picture" in first else "second")
            voted += 1
        if "rate-" in learner.page.text:
            learner.say("rating", **{f"rate-{k}": "2" for k in range(4)})
        learner.go_on()
    return voted


def test_three_learners_from_push_to_a_dataset(pushed):
    with serving(pushed.folder) as server:
        voted = 0
        for n, name in enumerate(("Anna", "Ben", "Cleo"), 1):
            one = Learner(server.url, server.links[name]).agree()
            voted += study_for_a_while(one, failures=n, n=20)
        first = pushed("study", "pull", "--study", "w")  # while it is served
    assert voted > 0
    again = pushed("study", "pull", "--study", "w")
    assert "next: preceptor fuse" in first
    assert "next" not in again
    tables = ("reviews", "assignments", "outcomes", "votes", "ratings", "participants")
    before = {name: rows(pushed.folder, f"FROM {name} ORDER BY key") for name in tables}
    pushed("study", "pull", "--study", "w")
    for name in tables:
        assert rows(pushed.folder, f"FROM {name} ORDER BY key").equals(before[name]), name
        assert before[name].height, name
    assert before["votes"].height == voted
    assigned = before["assignments"]
    assert set(assigned["arm"]) <= {"tuned", "base"}
    assert set(assigned["propensity"]) == {0.5}
    turns = before["outcomes"].filter(measure="turns")
    assert turns.height
    assert set(turns["value"]) <= {0.0, 1.0, 2.0}
    assert not {"Anna", "Ben", "Cleo"} & set(before["reviews"]["learner"])
    # What is drawn differs from run to run, and so little data fits hardly: no step may be too long.
    pushed("fuse", "--seed", 1, "--target-accept", 0.995)
    (pushed.folder / "r.yaml").write_text(
        "name: t\nsources: [mine, w]\npairs: {policy: all, min_confidence: 0.5}\nsplits: {train: 1, validation: 0, test: 0}\n"
    )
    pushed("build", "r.yaml", "--out", "dist/t")
    signals = rows(pushed.folder, "FROM sources WHERE name = 'w'")
    assert signals["license"].to_list() == ["CC-BY-4.0"]


def test_what_was_confirmed_outlives_a_killed_server(pushed):
    sent = []
    with serving(pushed.folder) as server:
        one = Learner(server.url, server.links["Anna"]).agree()
        for _ in range(5):
            form = one.fields() | {"given": "no idea"}
            answered = one.client.post("/answer", data=form, headers={"accept": "application/json"})
            assert answered.json()["kept"] is True
            sent.append(form["uid"])
            one.go_on()
        server.send_signal(signal.SIGKILL)
        server.wait()
    with serving(pushed.folder) as server:
        two = Learner(server.url, server.links["Anna"])
        again = two.client.post(
            "/answer", data=two.fields() | {"uid": sent[-1]}, headers={"accept": "application/json"}
        )
        assert again.json()["again"] is True
    pushed("study", "pull", "--study", "w")
    assert rows(pushed.folder, "FROM reviews WHERE kind <> 'claim'").height == 5


def test_who_leaves_is_forgotten_in_the_store_too(pushed):
    with serving(pushed.folder) as server:
        people = {name: Learner(server.url, server.links[name]).agree() for name in ("Anna", "Ben")}
        for one in people.values():
            study_for_a_while(one, 1, 6)
        pushed("study", "pull", "--study", "w")
        (count,) = rows(pushed.folder, "SELECT count(DISTINCT learner) AS n FROM reviews")["n"]
        assert count == 2
        copy = pushed.folder / "copy"
        with closing(sqlite3.connect(pushed.folder / "study-home/w/study.db")) as con:
            con.execute("VACUUM INTO ?", [str(copy)])
        anna = people["Anna"]
        anna.page = anna.client.get("/me")
        anna.page = anna.client.post("/withdraw", data=anna.fields() | {"sure": "yes"})
        assert "deleted" in anna.page.text
        assert anna.client.get("/me", follow_redirects=False).status_code == 303
    assert "1 learners left the study" in pushed("study", "pull", "--study", "w")
    assert rows(pushed.folder, "SELECT DISTINCT learner FROM reviews").height == 1
    assert "1 learners left" not in pushed("study", "pull", "--study", "w")
    # An older copy of the journal brings nobody back.
    shutil.copy(copy, pushed.folder / "study-home/w/study.db")
    assert "forgotten in the store" in pushed("study", "pull", "--study", "w")
    assert rows(pushed.folder, "SELECT DISTINCT learner FROM reviews").height == 1


def test_who_is_forgotten_in_the_store_leaves_the_journal(pushed):
    with serving(pushed.folder) as server:
        study_for_a_while(Learner(server.url, server.links["Anna"]).agree(), 1, 4)
    pushed("study", "pull", "--study", "w")
    (who,) = rows(pushed.folder, "SELECT DISTINCT learner FROM reviews")["learner"]
    assert "takes the person out of its journal" in " ".join(pushed("forget", "--pseudonym", who).split())
    assert "taken out of the journal" in pushed("study", "pull", "--study", "w")
    with closing(sqlite3.connect(pushed.folder / "study-home/w/study.db")) as con:
        assert con.execute("SELECT count(*) FROM events").fetchone() == (0,)
    assert rows(pushed.folder, "FROM reviews").height == 0


def test_answers_to_withdrawn_items_are_kept_and_named(place):
    place(
        "study",
        "push",
        "--study",
        "w",
        "--source",
        "mine",
        "--exercises",
        "g",
        "--consent",
        "consent.txt",
        "--class",
        "class.csv",
    )
    with serving(place.folder) as server:
        one = Learner(server.url, server.links["Anna"]).agree()
        while one.kind not in ("cloze", "rewrite"):
            one.answer("x")
            one.go_on()
        said = place("study", "push", "--study", "w", "--source", "mine")
        assert "0 items new, 11 withdrawn" in said
        one.answer("goes")
        one.go_on()
        while one.kind:
            assert one.kind == "flashcard"
            one.answer("x")
            one.go_on()
            if (
                one.page.text.count("data-kind") == 0
                or len(one.client.get("/me/answers.json").json()["events"]) > 40
            ):
                break
    assert "1 answers came after their exercise was withdrawn" in place("study", "pull", "--study", "w")


def test_a_journal_that_was_cut_off_is_named_and_the_store_keeps_what_it_has(pushed):
    with serving(pushed.folder) as server:
        study_for_a_while(Learner(server.url, server.links["Anna"]).agree(), 3, 20)
    journal = pushed.folder / "study-home/w/study.db"
    with closing(sqlite3.connect(journal)) as con:
        con.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    whole = journal.read_bytes()
    pushed("study", "pull", "--study", "w")
    before = rows(pushed.folder, "FROM reviews ORDER BY key")
    for share in (0.9, 0.6):
        journal.write_bytes(whole[: int(len(whole) * share) // 4096 * 4096])
        said = pushed("study", "pull", "--study", "w", code=1)
        assert "cannot be read in full" in said
        assert rows(pushed.folder, "FROM reviews ORDER BY key").equals(before)
    journal.write_bytes(whole)
    pushed("study", "pull", "--study", "w")
    assert rows(pushed.folder, "FROM reviews ORDER BY key").equals(before)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name\nAnna\nanna \n", "3: 'anna' is there twice (first in line 2)"),
        ("name\n\n ,de\n", "the name is empty"),
        ("vorname\nAnna\n", "expected columns name"),
        ("name,language\nAnna,de\n", "1: column 'language' is not read; first_language is what it may mean"),
        ("", "is empty"),
    ],
)
def test_a_class_list_that_cannot_be_used_is_named(place, text, said):
    (place.folder / "class.csv").write_text(text)
    arguments = (
        "study",
        "push",
        "--study",
        "w",
        "--source",
        "mine",
        "--consent",
        "consent.txt",
        "--class",
        "class.csv",
    )
    assert said in place(*arguments, code=2)
    assert not (place.folder / "study-home").exists()


def test_what_cannot_be_pushed_is_named(place):
    push = ("study", "push", "--study")
    assert "a text that learners agree to" in place(*push, "w", "--source", "mine", code=2)
    assert "nothing to ask" in place(*push, "w", "--consent", "consent.txt", code=2)
    assert "mien" in place(*push, "w", "--source", "mien", "--consent", "consent.txt", code=2)
    assert "not a study" in place(*push, "mine", "--source", "mine", "--consent", "consent.txt", code=2)
    assert "no fit" in place(
        *push, "w", "--source", "mine", "--consent", "consent.txt", "--assign", "thompson", code=2
    )
    assert "pairwise" in place(
        *push, "w", "--source", "mine", "--consent", "consent.txt", "--rubric", "pairwise-preference", code=2
    )
    assert "there is no study here" in place("study", "pull", "--study", "w", code=2)


def test_other_machines_are_let_in_only_on_purpose(pushed):
    assert "plain http" in pushed("study", "serve", "--study", "w", "--host", "0.0.0.0", "--port", 0, code=2)


def test_pushing_again_keeps_links_and_answers(pushed):
    with serving(pushed.folder) as server:
        links = server.links
        Learner(server.url, links["Anna"]).agree().answer("x")
        (pushed.folder / "class.csv").write_text("name\nAnna\nEmil\n")
        said = pushed("study", "push", "--study", "w", "--class", "class.csv", "--rubric", "socratic")
        assert "0 items new, 0 withdrawn" in said
        assert "learners: 5 (1 added)" in said
        assert httpx.get(links["Anna"], follow_redirects=True).url.path == "/"
    assert json.loads(rows(pushed.folder, "SELECT consents FROM studies")["consents"][0])
