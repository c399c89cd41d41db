"""CIMA: tutors' replies with their actions."""

import json
from collections import Counter

import pytest

from preceptor.schemas.errors import SourceError
from preceptor.schemas.licenses import read_license
from preceptor.schemas.tables import COMPLETIONS, PROMPTS, TURNS
from preceptor.toolkit.ingest.batch import Context
from preceptor.toolkit.ingest.formats import FORMATS
from preceptor.toolkit.ingest.run import Origin, find_inputs, ingest
from preceptor.toolkit.store.connection import count, query


def load(store, format, path, source="s"):
    files = find_inputs(FORMATS[format], [path])
    return ingest(store, FORMATS[format], files, Context(source), Origin(read_license(None)))


def facts_of(folder):
    return json.loads((folder / "facts.json").read_text(encoding="utf-8"))


def reasons(store):
    return query(store, "SELECT line, reason FROM rejects ORDER BY line").rows()


def test_cima(store, shared_data):
    folder = shared_data / "cima"
    facts = facts_of(folder)
    report = load(store, "cima", folder)
    assert (report.rows, report.rejects) == (facts["exercises"] + facts["shapeDataset_rows"], 0)
    assert count(store, PROMPTS) == facts["exercises"]
    assert query(store, 'SELECT count(DISTINCT "group") FROM prompts').item() == facts["distinct_prompts"]
    assert count(store, COMPLETIONS) == facts["tutor_responses"]
    replies = query(
        store, "SELECT n, count(*) FROM (SELECT count(*) AS n FROM completions GROUP BY prompt) GROUP BY 1"
    )
    assert {str(n): exercises for n, exercises in replies.rows()} == facts["responses_per_exercise"]
    acts = query(
        store, "SELECT json_extract_string(context, '$.actions[*]') AS acts, content FROM completions"
    )
    assert dict(Counter(acts["acts"].explode())) == facts["tutor_actions"]
    assert (acts["acts"].list.len() > 1).sum() == facts["responses_with_more_than_one_action"]
    assert (acts["acts"].list.len() == 0).sum() == facts["responses_without_action"]
    assert (acts["content"] == "").sum() == facts["empty_tutor_responses"]
    # Every exercise was taken, so its actions ran parallel to its replies.
    assert report.rows == facts["responses_and_actions_same_length"]
    assert count(store, TURNS) == facts["past_turns"]
    turns = query(
        store, "SELECT n, count(*) FROM (SELECT count(*) AS n FROM turns GROUP BY dialogue) GROUP BY 1"
    )
    assert {str(n): exercises for n, exercises in turns.rows()} == facts["past_turns_per_exercise"]
    assert query(store, "SELECT DISTINCT messages[-1].role FROM prompts").item() == "user"


def test_what_cima_says_of_its_exercises(store, shared_data):
    folder = shared_data / "cima"
    facts = facts_of(folder)
    load(store, "cima", folder)
    rows = query(store, "SELECT line, ref, context FROM prompts ORDER BY line")
    about = [json.loads(context) for context in rows["context"]]
    students = [one["student_actions"] for one in about]
    assert {name: sum(one[name] for one in students) for name in students[0]} == facts["student_actions"]
    # The file has texts; the store has truths.
    assert (
        sum(isinstance(v, bool) for one in students for v in one.values())
        == facts["student_action_type"]["str"]
    )
    assert sum(one["image"].startswith("pictures/") for one in about) == facts["img_is_json_inside_json"]
    broken = [
        ref.partition(":")[2]
        for ref, one in zip(rows["ref"], about, strict=True)
        if not parses(one["grammar_rules"])
    ]
    assert broken == facts["keys_whose_grammarRules_is_broken_json"]
    assert len(about) - len(broken) == facts["grammarRules_that_parse_as_json"]
    published = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))["prepDataset"]
    assert rows["line"].to_list() == list(range(1, len(published) + 1))
    assert [one["grammar_rules"] for one in about] == [one["grammarRules"] for one in published.values()]
    replies = query(store, "SELECT content FROM completions ORDER BY line, split_part(ref, '-', 2)::INTEGER")
    said = [text.strip() for one in published.values() for text in one["tutorResponses"]]
    assert replies["content"].to_list() == said


def parses(text):
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


EXERCISE = {
    "past_convo": ["Fill in the blank. ", "e sotto il?", " ", "tavolo"],
    "img": '"pictures/a.png"',
    "prep": "e sotto il",
    "engPrep": "is under the",
    "engObj": "table",
    "engColor": "pink",
    "grammarRules": '[["il", ""}',
    "studentActions": ["True", "False", "False", "False"],
    "tutorResponses": ["And pink?", "And pink?", "È rosa."],
    "tutorKeys": [],
    "unknown": {"a": 1},
    "tutorActions": [[True, False, True, False, False], [False] * 5, ["False", "True", *["False"] * 3]],
}


def cima(path, *exercises, shapes=()):
    keyed = [{str(n): one for n, one in enumerate(part, 1)} for part in (exercises, shapes)]
    path.write_text(
        json.dumps({"shapeDataset": keyed[1], "prepDataset": keyed[0], "version": 2}, indent=1), "utf-8"
    )


def test_one_exercise_of_cima(store, tmp_path):
    path = tmp_path / "dataset.json"
    bare = {
        k: EXERCISE[k]
        for k in ("past_convo", "engPrep", "engObj", "engColor", "tutorResponses", "tutorActions")
    }
    cima(
        path,
        EXERCISE,
        bare | {"img": None, "studentActions": None, "engObj": " box"},
        shapes=[EXERCISE | {"engColor": "red"}],
    )
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert load(store, "cima", path).rows == 3
    found = query(
        store,
        """SELECT p.ref, p."group", c.ref AS reply, c.content, c.context->>'actions' AS acts
        FROM completions c JOIN prompts p ON p.key = c.prompt WHERE p.line = 1 ORDER BY c.ref""",
    ).rows()
    where = ("prepDataset:1", "is under the table pink")
    assert found == [
        (*where, "prepDataset:1-0", "And pink?", '["Question","Correction"]'),
        (*where, "prepDataset:1-1", "And pink?", "[]"),
        (*where, "prepDataset:1-2", "È rosa.", '["Hint/Information Reveal"]'),
    ]
    messages, about = query(store, "SELECT messages, context FROM prompts WHERE line = 1").row(0)
    assert messages == [
        {"role": "assistant", "content": "Fill in the blank."},
        {"role": "user", "content": "e sotto il?\ntavolo"},
    ]
    assert json.loads(about) == {
        "preposition": "e sotto il",
        "english_preposition": "is under the",
        "english_object": "table",
        "english_color": "pink",
        "grammar_rules": '[["il", ""}',
        "image": "pictures/a.png",
        "student_actions": {"Guess": True, "Question": False, "Affirmation": False, "Other": False},
    }
    (little,) = query(store, "SELECT context FROM prompts WHERE line = 2")["context"]
    assert set(json.loads(little)) == {"english_preposition", "english_object", "english_color"}
    said = query(store, "SELECT role, content FROM turns WHERE line = 3 ORDER BY position").rows()
    assert said == [
        ("assistant", "Fill in the blank."),
        ("user", "e sotto il?"),
        ("assistant", ""),
        ("user", "tavolo"),
    ]
    assert load(store, "cima", path).already_there


def test_what_cima_rejects(store, tmp_path):
    path = tmp_path / "dataset.json"
    wrong = [
        {"engColor": ""},
        {"past_convo": None},
        {"past_convo": ["a", "b", "c"]},
        {"past_convo": ["a", " "]},
        {"tutorResponses": []},
        {"tutorResponses": ["a", "", "c"]},
        {"tutorResponses": ["a"]},
        {"tutorActions": [[True] * 5, [True] * 4, [True] * 5]},
        {"tutorActions": [[True] * 5, ["yes"] * 5, [True] * 5]},
        {"tutorActions": 3},
        {"studentActions": ["True"]},
        {"studentActions": ["yes"] * 4},
        {"studentActions": "True"},
        {"past_convo": "text"},
    ]
    cima(path, EXERCISE, *(EXERCISE | change for change in wrong), 5)
    text = path.read_text("utf-8")
    path.write_text(text.replace('"16": 5', '"1": ' + json.dumps(EXERCISE) + ', "16": 5'), "utf-8")
    report = load(store, "cima", path)
    assert (report.rows, report.rejects) == (1, len(wrong) + 2)
    marks = "'tutorActions' is not 5 times true or false for each reply"
    students = "'studentActions' is not 4 times True or False"
    assert reasons(store) == list(
        enumerate(
            (
                "'engColor' is missing or empty",
                "'past_convo' is missing or holds no turn",
                "'past_convo' holds 3 turns: it does not end with the student",
                "the student's last turn is empty",
                "'tutorResponses' is missing or empty",
                "'tutorResponses' holds an empty reply",
                "'tutorActions' holds 3 lists for 1 replies",
                marks,
                marks,
                "'tutorActions' holds 0 lists for 3 replies",
                students,
                students,
                students,
                "'past_convo' is not a list",
                "its key is already used by exercise 1",
                "expected a JSON object",
            ),
            2,
        )
    )


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"prepDataset": []}', '{"shapeDataset": {}}', '{"prepDataset": {}}']
)
def test_what_is_not_cima(store, tmp_path, text):
    path = tmp_path / "dataset.json"
    path.write_text(text)
    with pytest.raises(SourceError, match=r"dataset\.json"):
        load(store, "cima", path)


WHOLE = json.dumps({"prepDataset": {str(n): EXERCISE for n in range(3)}, "shapeDataset": {}}, indent=0)
BYTES = [b"\xff", b'"', b"{", b"}", b"[", b",", b"\n", b"null", b"-1", b"e9", b"\x00"]


def test_damaged_files_of_cima_balance(opened, damaged_files_balance):
    def holds(_):
        assert query(opened, "SELECT count(*) FILTER (messages[-1].role <> 'user') FROM prompts").item() == 0

    damaged_files_balance("cima", WHOLE.encode(), BYTES, holds)
