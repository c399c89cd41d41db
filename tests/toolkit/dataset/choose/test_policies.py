"""Pairs that need neither votes nor a fit: what each policy keeps, drops and counts."""

import json
from itertools import combinations

import pytest

from preceptor.schemas.errors import GateError
from preceptor.schemas.licenses import read_license
from preceptor.schemas.recipe import Recipe
from preceptor.toolkit.dataset.build import build, gather
from preceptor.toolkit.ingest.batch import Context
from preceptor.toolkit.ingest.formats import FORMATS
from preceptor.toolkit.ingest.run import Origin, find_inputs, ingest
from preceptor.toolkit.store.connection import query

ORDER = {"No": 0, "To some extent": 1, "Yes": 2, "Offensive": 0, "Neutral": 1, "Encouraging": 2}


def load(store, format, path, source, about=""):
    files = find_inputs(FORMATS[format], [path])
    return ingest(store, FORMATS[format], files, Context(source, about=about), Origin(read_license(None)))


def recipe(policy, **pairs):
    return Recipe.model_validate({"name": "r", "pairs": {"policy": policy, **pairs}})


def label_values(annotation, criteria):
    """A reply's labels as numbers, the better the higher."""
    return [
        -int(label.startswith("Yes")) if name == "Revealing_of_the_Answer" else ORDER[label]
        for name, label in annotation.items()
        if name in criteria
    ]


def dominance(rows, criteria):
    """By hand: how many pairs are kept, and dropped why; replies to one history are compared."""
    replies = {}
    for row in rows:
        talk = " ".join(row["conversation_history"].split())
        for reply in row["anno_llm_responses"].values():
            replies.setdefault(talk, []).append(label_values(reply["annotation"], criteria))
    kept, dropped = 0, {"neither dominates": 0, "rated equally": 0}
    for found in replies.values():
        for a, b in combinations(found, 2):
            up, down = (any(x > y for x, y in zip(p, q, strict=True)) for p, q in ((a, b), (b, a)))
            kept += up != down
            dropped["neither dominates"] += up and down
            dropped["rated equally"] += not up and not down
    return kept, dropped


def gathered(con, recipe):
    _, dropped = gather(con, recipe)
    return query(con, "FROM kept WHERE config = 'preference'"), dropped


@pytest.mark.parametrize(
    "criteria", [[], ["Providing_Guidance"], ["Providing_Guidance", "Revealing_of_the_Answer"]]
)
def test_rubric_dominance_is_what_the_labels_say(store, shared_data, criteria):
    path = shared_data / "mrbench" / "MRBench_V2.json"
    load(store, "mrbench", path, "mrbench")
    rows = json.loads(path.read_text(encoding="utf-8"))
    names = next(iter(rows[0]["anno_llm_responses"].values()))["annotation"].keys()
    pairs, counts = gathered(store, recipe("rubric-dominance", criteria=criteria))
    kept, dropped = dominance(rows, criteria or list(names))
    same = counts.pop("equal texts", 0)
    assert same < 10
    assert counts == {why: n for why, n in dropped.items() if n}
    assert pairs.height + same == kept
    assert kept > 1000  # so that the comparison means something
    assert set(pairs["made"]) == {"rubric-dominance"}


def say(*turns):
    return "|EOM|".join(turns)


def test_a_question_is_chosen_over_what_gives_it_away(store, tmp_path):
    def dialogue(qid, *turns):
        return json.dumps(
            {
                "qid": qid,
                "question": f"Problem {qid}",
                "student_incorrect_solution": "7",
                "conversation": say(*turns),
            }
        )

    (tmp_path / "m.jsonl").write_text(
        "\n".join(
            [
                dialogue(
                    1,
                    "Teacher: (probing)Why?",
                    "Student: so.",
                    "Teacher: (telling)It is 4.",
                    "Student: ok.",
                    "Teacher: (focus)And then?",
                    "Student: hm.",
                    "Teacher: (telling)Then 9.",
                ),
                dialogue(1, "Teacher: (focus)Look again.", "Student: yes.", "Teacher: (generic)Bye"),
                dialogue(2, "Teacher: (probing)What next?", "Student: no."),
                dialogue(
                    3, "Teacher: (telling)Add them.", "Student: hm.", "Teacher: (focus)Then?", "Student: x."
                ),
            ]
        )
        + "\n"
    )
    load(store, "mathdial", tmp_path / "m.jsonl", "m")
    pairs, dropped = gathered(store, recipe("probing-over-telling"))
    # The next one of the same dialogue first; else the first one about the problem; never an earlier one.
    assert sorted(pairs.select("chosen_content", "rejected_content").rows()) == [
        ("And then?", "Then 9."),
        ("Look again.", "It is 4."),
        ("Why?", "It is 4."),
    ]
    assert dropped == {"no telling turn about the problem": 2}


def test_mathdial(store, shared_data):
    load(store, "mathdial", shared_data / "mathdial" / "test.jsonl", "m")
    pairs, dropped = gathered(store, recipe("probing-over-telling"))
    assert pairs.height + sum(dropped.values()) == 1383  # completions that only probe or focus
    assert pairs.height == 962


def turn(evaluation, action, state, said):
    return json.dumps(
        {
            "Evaluation of Student Response": evaluation,
            "Action Based on Evaluation": action,
            "Step Number": "1",
            "Step State": state,
            "Tutorbot Response": said,
        }
    )


def test_a_tutor_turn_that_judges_as_the_reference_is_chosen(store, tmp_path):
    talk = [
        {"from": "student", "value": "Is it 7?"},
        {"from": "initial_state", "value": json.loads(turn("a", "1", "q", "Let us see."))},
    ]
    (tmp_path / "c.json").write_text(json.dumps({"id": "c", "conversations": talk}))
    load(store, "spock", tmp_path / "c.json", "spock")
    ((ref,),) = store.sql("SELECT ref FROM prompts").fetchall()
    answers = {
        "same": turn("a) Evaluating Incorrect Response", "1", "q", "Not quite."),
        "evaluation": turn("b", "1", "q", "Right!"),
        "action": turn("a", "2", "q", "It is 4."),
        "state": turn("a", "1", "t", "Done."),
        "incomplete": '{"Tutorbot Response": "No."}',
        "invalid": "Sure! {",
    }
    lines = [
        json.dumps({"prompt": ref, "author": f"tiny@{name}", "content": text, "origin": "model"})
        for name, text in answers.items()
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(lines) + "\n")
    load(store, "completions", tmp_path / "a.jsonl", "answers", about="spock")
    pairs, dropped = gathered(store, recipe("matching-over-mismatching"))
    assert dropped == {"the same tutor state": 1}
    assert dict(pairs.group_by("made").len().rows()) == dict.fromkeys(
        ("another evaluation", "another action", "another state", "incomplete JSON", "invalid JSON"), 1
    )
    assert {json.loads(text)["Tutorbot Response"] for text in pairs["chosen_content"]} == {"Let us see."}


def test_nothing_to_compare_is_said(store, shared_data, tmp_path):
    load(store, "mathdial", shared_data / "mathdial" / "test.jsonl", "m")
    with pytest.raises(GateError, match="no pair is left \\(nothing to compare\\)"):
        build(store, recipe("expert-over-novice"), tmp_path / "out")


def outputs(problem, *values):
    """Outputs for one problem as socratic-llm's file has them, by (questions, on_topic, helpful, reveals)."""
    names = ("questions", "on_topic", "helpful", "reveal_answer")
    for n, rated in enumerate(values):
        yield {
            "prompt": problem,
            "output": f"{problem} {n}",
            "raw_evaluation": "",
            "evaluation_error": None,
            "evaluation": dict(zip(names, rated, strict=True)),
            "score": None,
        }


def test_best_over_worst_score_with_the_rule_of_socratic_llm(store, tmp_path):
    good, fair, poor = ("yes", 5, 4, "no"), ("yes", 4, 2, "no"), ("no", 3, 1, "yes")  # 0.95, 0.8, 0.2
    rows = [
        *outputs("A", fair, good, poor),
        *outputs("B", fair, poor),
        *outputs("C", good, good),
        *outputs("D", good),
    ]
    (tmp_path / "rated.json").write_text(json.dumps(rows))
    load(store, "socratic-llm", tmp_path / "rated.json", "s")
    pairs, dropped = gathered(store, recipe("best-over-worst-score"))
    assert sorted(pairs.select("chosen_content", "rejected_content").rows()) == [
        ("A 1", "A 2"),
        ("B 0", "B 1"),
    ]
    assert dropped == {"rated equally": 1}
    rule = "chosen_score > 0.8 and chosen_score > rejected_score"
    pairs, dropped = gathered(store, recipe("best-over-worst-score", eligible=rule))
    assert pairs["chosen_content"].to_list() == ["A 1"]
    assert dropped == {"not eligible by the recipe": 1, "rated equally": 1}
