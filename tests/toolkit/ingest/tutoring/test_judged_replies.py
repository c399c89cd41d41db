"""Judged replies: MRBench's labels and socratic-llm's evaluations as ratings."""

import json

import pytest
from examples import few
from hypothesis import given
from hypothesis import strategies as st

from preceptor.schemas.errors import SourceError
from preceptor.schemas.licenses import read_license
from preceptor.schemas.tables import COMPLETIONS, PROMPTS, RATINGS, REJECTS, TURNS
from preceptor.toolkit.dataset.choose.pairs import make_scores
from preceptor.toolkit.ingest.batch import Context
from preceptor.toolkit.ingest.files.numbered_lines import Input
from preceptor.toolkit.ingest.formats import FORMATS
from preceptor.toolkit.ingest.run import Origin, find_inputs, ingest
from preceptor.toolkit.store.connection import count, query, remove_source


def load(store, format, *paths, source="s"):
    files = find_inputs(FORMATS[format], paths)
    return ingest(store, FORMATS[format], files, Context(source), Origin(read_license(None)))


def load_rows(store, format, path, rows, source="s"):
    path.write_text(json.dumps(rows), encoding="utf-8")
    return load(store, format, path, source=source)


def facts_of(folder):
    return json.loads((folder / "facts.json").read_text(encoding="utf-8"))


def counts(store, sql):
    return {key: n for key, n in query(store, sql).rows() if key is not None}


def reasons(store):
    return query(store, "SELECT line, reason FROM rejects ORDER BY path, line").rows()


def test_mrbench(store, shared_data):
    folder = shared_data / "mrbench"
    facts = facts_of(folder)["MRBench_V2.json"]
    report = load(store, "mrbench", folder)
    assert (report.rows, report.rejects) == (facts["rows"], 0)
    assert count(store, COMPLETIONS) == facts["responses"]
    assert count(store, RATINGS) == facts["responses"] * len(facts["dimensions"])
    by_tutor = "SELECT author, count(*) FROM completions {} GROUP BY 1"
    assert counts(store, by_tutor.format("")) == facts["responses_per_tutor"]
    assert set(counts(store, by_tutor.format("WHERE origin = 'human'"))) == {"Expert", "Novice"}
    # Conversations that are there twice are one prompt with twice the replies.
    conversations = """(SELECT DISTINCT c.line, p.context->>'conversation_id' AS id, p.context->>'Data' AS data
        FROM completions c JOIN prompts p ON p.key = c.prompt)"""
    assert counts(store, f"SELECT data, count(*) FROM {conversations} GROUP BY 1") == facts["source"]
    ids = counts(store, f"SELECT id, count(*) FROM {conversations} GROUP BY 1")
    assert len(ids) == facts["distinct_conversation_id"]
    assert sorted(id for id, n in ids.items() if n > 1) == facts["conversation_ids_used_twice"]
    for name, labels in facts["labels"].items():
        published = f"SELECT context->'labels'->>'{name}', count(*) FROM completions GROUP BY 1"
        assert counts(store, published) == labels
        levels = counts(
            store,
            f"SELECT value, count(*) FROM ratings WHERE criterion = '{name}' GROUP BY 1",
        )
        assert sum(levels.values()) == facts["responses"]
        if name == "Revealing_of_the_Answer":
            assert levels == {1: labels["No"], 2: sum(labels.values()) - labels["No"]}
        else:
            order = [
                label
                for label in ("Offensive", "No", "Neutral", "To some extent", "Encouraging", "Yes")
                if label in labels
            ]
            assert levels == {level: labels[label] for level, label in enumerate(order, 1)}
    guidance = """SELECT c.author, count(*) FROM ratings r JOIN completions c ON c.key = r.completion
        WHERE r.criterion = 'Providing_Guidance' AND r.value = 3 GROUP BY 1"""
    assert counts(store, guidance) == facts["guidance_yes_per_tutor"]
    rubric = query(store, "SELECT criterion, levels, higher_is_better, wording, weight FROM rubrics").rows()
    assert {row[0] for row in rubric} == set(facts["dimensions"])
    assert {row[0] for row in rubric if not row[2]} == {"Revealing_of_the_Answer"}
    assert {row[0] for row in rubric if row[1] == 2} == {"Revealing_of_the_Answer"}
    assert all(row[3] and row[4] == 1 for row in rubric)
    assert query(store, "SELECT count(*) FROM ratings WHERE annotator IS NOT NULL").item() == 0


def test_mrbench_histories_are_turns(store, shared_data):
    folder = shared_data / "mrbench"
    load(store, "mrbench", folder)
    published = json.loads((folder / "MRBench_V2.json").read_text(encoding="utf-8"))
    said = query(
        store, "SELECT dialogue, string_agg(content, '' ORDER BY position) AS t FROM turns GROUP BY 1"
    )
    words = {name: "".join(text.split()) for name, text in said.rows()}
    for n, row in enumerate(published, 1):
        history = "".join(row["conversation_history"].split())
        for mark in ("Tutor:", "Student:"):
            history = history.replace(mark, "")
        assert words[f"MRBench_V2.json:{n}"].replace("Tutor:", "").replace("Student:", "") == history
    assert (
        query(
            store, "SELECT count(*) FROM turns WHERE content = '' OR contains(content, chr(160) || chr(10))"
        ).item()
        == 0
    )
    assert query(store, "SELECT DISTINCT messages[-1].role FROM prompts").rows() == [("user",)]
    marked = query(
        store,
        "SELECT count(*) FROM (SELECT arg_max(role, position) AS last FROM turns "
        "GROUP BY dialogue) WHERE last = 'assistant'",
    ).item()
    flagged = query(store, "SELECT count(*) FROM prompts WHERE context->>'last_turn_marked' = 'Tutor'").item()
    note = query(store, "SELECT notes FROM sources").item()
    assert marked == flagged > 0
    assert f"student's in prompts: {marked}," in note


def test_mrbench_s_two_rules_for_groups_agree_and_a_group_is_whole(store, shared_data):
    folder = shared_data / "mrbench"
    load(store, "mrbench", folder)
    rows = json.loads((folder / "MRBench_V2.json").read_text(encoding="utf-8"))
    solutions = {}
    for row in rows:
        solutions.setdefault(row["conversation_id"], set()).add(row["Ground_Truth_Solution"])
    assert all(len(found) == 1 for found in solutions.values())
    group_of = dict(
        query(
            store,
            """SELECT DISTINCT c.line, p."group" FROM completions c
                                    JOIN prompts p ON p.key = c.prompt""",
        ).rows()
    )
    for n, row in enumerate(rows, 1):
        for m, other in enumerate(rows, 1):
            known = row["Ground_Truth_Solution"] != "Not Available"
            same = row["conversation_id"] == other["conversation_id"] or (
                known and row["Ground_Truth_Solution"] == other["Ground_Truth_Solution"]
            )
            assert same == (group_of[n] == group_of[m])


NBSP = "\u00a0"
YES = {"response": "Count again.", "annotation": {"Mistake_Location": "Yes"}}


def conversation(id, history=None, solution="Not Available", **replies):
    history = history or f"Tutor: How many in {id}?{NBSP}\n{NBSP}Student: Nine."
    return {
        "conversation_id": id,
        "conversation_history": history,
        "Ground_Truth_Solution": solution,
        "anno_llm_responses": replies or {"Gemini": YES},
    }


def test_mrbench_groups_link_by_others_and_across_files(store, tmp_path):
    first = [
        conversation("a", solution="8"),
        conversation("b"),
        conversation("c", "Student: x"),
        conversation("d", "Student: x"),
        conversation("e", solution="not available "),
        conversation("f"),
    ]
    second = [conversation("a", "Student: z", solution="9"), conversation("b", "Student: y", solution=" 9")]
    (tmp_path / "MRBench_1.json").write_text(json.dumps(first))
    (tmp_path / "mrbench_2.json").write_text(json.dumps(second))
    (tmp_path / "other.json").write_text("[]")
    report = load(store, "mrbench", tmp_path)
    assert (report.rows, report.rejects) == (8, 0)
    groups = query(
        store,
        """SELECT p."group" AS g FROM completions c JOIN prompts p ON p.key = c.prompt
                             ORDER BY c.path, c.line""",
    )["g"].to_list()
    assert groups == ["8", "8", "c", "c", "e", "f", "8", "8"]


def test_a_long_chain_of_links_is_one_group(store, tmp_path):
    links = [conversation(f"{n // 2}", f"Student: {n}", solution=f"s{(n + 1) // 2}") for n in range(60)]
    load_rows(store, "mrbench", tmp_path / "a.json", links)
    assert query(store, 'SELECT count(DISTINCT "group") FROM prompts').item() == 1


def test_mrbench_turns_and_replies(store, tmp_path):
    history = (
        f"Tutor: Hi!\n{NBSP}Tutor: The question is:\nHow many?{NBSP}{NBSP}\n{NBSP}Student : 3 x 3.\nSo"
        f"{NBSP}\n{NBSP}9{NBSP}\n{NBSP}Tutor: Student: is no name here"
    )
    tones = ("Offensive", "Neutral", "encouraging ")
    replies = {
        f"T{n}": {"response": f" {tone}.{NBSP}", "annotation": {"Tutor_Tone": tone}}
        for n, tone in enumerate(tones)
    }
    replies["Expert"] = {"response": "Nine?", "annotation": None}
    replies["Novice"] = {
        "response": "9",
        "annotation": {
            "revealing_of_the_answer": "Yes (but the answer is incorrect)",
            "Humour": "To some extent",
            "Coherence": None,
        },
    }
    load_rows(store, "mrbench", tmp_path / "a.json", [conversation("1", history, **replies) | {"Topic": "t"}])
    assert query(store, "SELECT role, content FROM turns ORDER BY position").rows() == [
        ("assistant", "Hi!"),
        ("assistant", "The question is:\nHow many?"),
        ("user", "3 x 3.\nSo\n9"),
        ("assistant", "Student: is no name here"),
    ]
    ((messages, context),) = query(store, "SELECT messages, context FROM prompts").rows()
    assert messages == [
        {"role": "assistant", "content": "Hi!\nThe question is:\nHow many?"},
        {"role": "user", "content": "3 x 3.\nSo\n9\nStudent: is no name here"},
    ]
    assert json.loads(context) == {
        "conversation_id": "1",
        "Ground_Truth_Solution": "Not Available",
        "Topic": "t",
        "last_turn_marked": "Tutor",
    }
    assert query(store, "SELECT content, origin, author FROM completions ORDER BY ref").rows() == [
        ("Nine?", "human", "Expert"),
        ("9", "human", "Novice"),
        ("Offensive.", "model", "T0"),
        ("Neutral.", "model", "T1"),
        ("encouraging .", "model", "T2"),
    ]
    assert query(
        store,
        """SELECT c.author, r.criterion, r.value, r.levels, r.n FROM ratings r
                           JOIN completions c ON c.key = r.completion ORDER BY r.n""",
    ).rows() == [
        ("T0", "Tutor_Tone", 1, 3, 0),
        ("T1", "Tutor_Tone", 2, 3, 1),
        ("T2", "Tutor_Tone", 3, 3, 2),
        ("Novice", "Revealing_of_the_Answer", 2, 2, 3),
        ("Novice", "Humour", 2, 3, 4),
    ]
    assert query(
        store, "SELECT wording, higher_is_better FROM rubrics WHERE criterion = 'Humour'"
    ).rows() == [(None, True)]


def test_mrbench_v3_and_files_without_labels(store, tmp_path):
    row = conversation("1")
    del row["Ground_Truth_Solution"]
    v3 = row | {"tutor_responses": row.pop("anno_llm_responses")}
    bare = v3 | {"tutor_responses": {"Tutor_1": {"response": "Count."}, "Tutor_2": {"response": "No."}}}
    path = tmp_path / "mrbench_v3_testset.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps([v3, bare], indent=1).replace("\n", "\r\n").encode())
    report = load(store, "mrbench", path)
    assert (report.rows, report.rejects, count(store, COMPLETIONS), count(store, RATINGS)) == (2, 0, 3, 1)
    assert load(store, "mrbench", path).already_there


def test_what_mrbench_rejects(store, tmp_path):
    def labelled(**labels):
        return conversation("1", Gemini=YES, GPT4={"response": "x", "annotation": labels})

    rows = [
        conversation("1"),
        5,
        conversation(""),
        conversation("1") | {"conversation_history": None},
        conversation("1", "Student nine"),
        conversation("1", "Tutor: Hi"),
        conversation("1", f"Student: 9{NBSP}\n{NBSP}Tutor:{NBSP}"),
        conversation("1", "Student: 9\nStudent:"),
        conversation("1") | {"anno_llm_responses": None},
        conversation("1") | {"anno_llm_responses": [1]},
        conversation("1") | {"anno_llm_responses": {}},
        conversation("1", Gemini=YES, Phi3={"response": f" {NBSP}"}),
        conversation("1", Gemini="Count"),
        conversation("1", Gemini={"response": "x", "annotation": ["Yes"]}),
        labelled(Tutor_Tone="Rude"),
        labelled(Coherence="Yes", Revealing_of_the_Answer="Yesterday"),
        labelled(Actionability={"a": 1}),
        labelled(New="Maybe"),
        labelled(Coherence="Yes", coherence="No"),
        conversation("1") | {"conversation_id": ["1"]},
    ]
    report = load_rows(store, "mrbench", tmp_path / "a.json", rows)
    assert (report.rows, report.rejects, count(store, COMPLETIONS)) == (1, len(rows) - 1, 1)
    silent = "the student says nothing in 'conversation_history'"
    empty = "the last turn of 'conversation_history' is empty"
    none = "no replies under 'anno_llm_responses' or 'tutor_responses'"
    three = "expected No, To some extent, Yes"
    assert reasons(store) == list(
        enumerate(
            [
                "expected a JSON object",
                "'conversation_id' is missing or empty",
                "'conversation_history' is missing or empty",
                "'conversation_history' does not begin with who speaks, 'Tutor: ' or 'Student: '",
                silent,
                empty,
                empty,
                none,
                none,
                none,
                "'Phi3' has no text as 'response'",
                "'Gemini' has no text as 'response'",
                "'Gemini' has an 'annotation' that is not an object",
                "'GPT4' has Tutor_Tone 'Rude', expected Offensive, Neutral, Encouraging",
                "'GPT4' has Revealing_of_the_Answer 'Yesterday', expected No, Yes",
                f"""'GPT4' has Actionability '{{"a":1}}', {three}""",
                f"'GPT4' has New 'Maybe', {three}",
                "'GPT4' has Coherence twice",
                "'conversation_id' is not text",
            ],
            2,
        )
    )


def test_a_tutor_named_twice_is_rejected(store, tmp_path):
    twice = json.dumps([conversation("1"), conversation("2", A=YES, B=YES)]).replace('"B"', '"A"')
    (tmp_path / "a.json").write_text(twice)
    load(store, "mrbench", tmp_path / "a.json")
    assert reasons(store) == [(2, "'A' is there twice")]


@pytest.mark.parametrize("format", ["mrbench", "socratic-llm"])
def test_files_that_are_not_the_format(store, tmp_path, format):
    path = tmp_path / "a.json"
    for text in ("", "{}", "[1", '{"prompt": "x"}\n{"prompt": "y"}'):
        path.write_text(text)
        with pytest.raises(SourceError, match=r"a\.json(:\d+)?: (expected|is |not |ends )"):
            load(store, format, path)
    path.write_text("[]")
    with pytest.raises(SourceError, match="holds no rows"):
        load(store, format, path)
    path.write_text('[{"question": "?"}]')
    with pytest.raises(SourceError, match="none of its 1 rows could be taken"):
        load(store, format, path)
    path.write_text("{}")
    with pytest.raises(SourceError, match="holds no"):
        load(store, format, tmp_path)


CRITERIA = ("questions", "on_topic", "helpful", "reveal_answer")  # as the file says
OURS = {"reveal_answer": "reveals_answer"}


def test_socratic_llm(store, shared_data):
    folder = shared_data / "socratic-llm"
    facts = facts_of(folder)
    lists = ("mathdial_test", "debugging_test", "tutorchat_test")
    report = load(store, "socratic-llm", folder)
    human = facts["mathdial_human_eval"]
    assert (report.rows, report.rejects) == (sum(facts[n]["prompts"] for n in lists) + human["rows"], 0)
    assert report.notes == ["debugging_test.json: prompts that repeat an earlier one, stored once: 4 of 100"]
    assert count(store, COMPLETIONS) == human["rows"]
    # outputs_with_leading_space is of the file: spaces around an output are taken off.
    assert query(store, "SELECT count(*) FROM completions WHERE content <> trim(content)").item() == 0
    for name in CRITERIA:
        rated = counts(
            store,
            f"SELECT value, count(*) FROM ratings WHERE criterion = '{OURS.get(name, name)}' GROUP BY 1",
        )
        levels = ["no", "yes"] if "no" in human[name] else [f"{n}.0" for n in range(1, 6)]
        assert rated == {n: human[name][level] for n, level in enumerate(levels, 1) if level in human[name]}
    stated, mean, rows, errors = query(
        store,
        """SELECT sum(s), avg(s), count(s), count(context->>'evaluation_error')
        FROM (SELECT context, (context->>'score')::DOUBLE AS s FROM completions)""",
    ).row(0)
    assert stated == pytest.approx(human["sum_score"])
    assert mean == pytest.approx(human["mean_score"], abs=1e-6)
    assert (rows, errors) == (human["rows"], human["rows"] - human["evaluation_error_null"])
    # The published score, as recipes' rules have it.
    make_scores(store)
    made = query(
        store,
        """SELECT count(*) FROM scores s JOIN completions c ON c.key = s.completion
        WHERE abs((c.context->>'score')::DOUBLE - s.score) < 1e-9""",
    ).item()
    assert made == human["score_equals_formula"]
    assert query(store, "SELECT sum(weight) FROM rubrics").item() == 1


@pytest.mark.parametrize("name", ["mathdial_test", "debugging_test", "tutorchat_test", "mathdial_human_eval"])
def test_the_prompts_of_a_list_of_socratic_llm(store, shared_data, name):
    folder = shared_data / "socratic-llm"
    facts = facts_of(folder)[name]
    load(store, "socratic-llm", folder / f"{name}.json")
    assert count(store, PROMPTS) == facts.get("distinct", facts.get("distinct_prompts"))
    published = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    texts = {row if isinstance(row, str) else row["prompt"] for row in published}
    assert set(query(store, "SELECT messages[1].content AS t FROM prompts")["t"]) == texts
    if "characters" in facts:
        asked = query(store, "SELECT messages[1].content AS t FROM prompts")["t"]
        repeated = sum(map(len, published)) - asked.str.len_chars().sum()
        assert asked.str.len_chars().sum() + repeated == facts["characters"]
        assert (repeated > 0) == (facts["distinct"] < facts["prompts"])
    assert query(store, "SELECT DISTINCT len(messages), messages[1].role, task FROM prompts").rows() == [
        (1, "user", "tutor")
    ]


def test_what_is_the_same_problem_in_socratic_llm(store, tmp_path):
    lesson = ' "\\nassistant: Today: maps. Ready?", "\\nuser: Yes'
    asked = [
        "Student: \"Professor, I have a problem, here is the text: Ann's 3 nuts.\\nHow many? Here is my solution 4",
        "Student: 'Professor, I have a problem, here is the text: Ann\\'s 3 nuts. How many? Here is my solution 5",
        "<problem>\nAdd a and b\n</problem>\n<bug_code>1",
        "<problem>\nAdd  a and b\n</problem>\n<bug_code>2",
        lesson,
        lesson + '", "\\nassistant: Where", "\\nuser: there',
        "Something else",
        "Something other",
    ]
    load_rows(store, "socratic-llm", tmp_path / "a.json", asked)
    groups = query(store, 'SELECT "group" FROM prompts ORDER BY line')["group"].to_list()
    assert groups[0] == groups[1] == "Ann's 3 nuts. How many?"
    assert groups[2] == groups[3] == "Add a and b"
    assert groups[4] == groups[5]
    assert groups[6:] == asked[6:]


def evaluated(prompt="?", output=" So?", **rest):
    values = dict(zip(CRITERIA, ("yes", 5.0, 4.0, "no"), strict=True))
    return {
        "prompt": prompt,
        "output": output,
        "raw_evaluation": json.dumps(values),
        "evaluation_error": None,
        "evaluation": values,
        "score": 0.95,
    } | rest


def rated(store):
    return query(
        store,
        """SELECT c.line, c.content, list(r.value ORDER BY r.criterion) AS v FROM completions c
        LEFT JOIN ratings r ON r.completion = c.key GROUP BY c.key, c.line, c.content, c.ref
        ORDER BY c.line, c.ref""",
    ).rows()


def test_evaluations_that_are_missing_or_odd(store, tmp_path):
    values = evaluated()["evaluation"]
    rows = [
        evaluated(),
        evaluated(score=0.5),
        evaluated(evaluation=None),
        evaluated(evaluation=None, evaluation_error="no", raw_evaluation="I cannot", score=None),
        evaluated(evaluation_error="bad", raw_evaluation='```json\n{"questions": "No"}\n```', score=None),
        evaluated(evaluation=None, raw_evaluation='{"on_topic": 9}', score=None),
        evaluated(evaluation=values | {"questions": " No", "helpful": None}, extra=1),
        {"prompt": "?", "output": "x"},
    ]
    report = load_rows(store, "socratic-llm", tmp_path / "a.json", rows)
    full, none = [4, 5, 2, 1], [None]
    assert [(line, v) for line, _, v in rated(store)] == [
        (1, full),
        (2, full),
        (3, full),
        (4, none),
        (5, [1]),
        (6, none),
        (7, [5, 1, 1]),
        (8, none),
    ]
    assert report.notes == [
        "a.json: outputs without ratings, as no evaluation of them can be read: 3, the first in row 4",
        "a.json: scores that do not follow from the ratings: 2, the first in row 2",
    ]
    contexts = [
        json.loads(c) for c in query(store, "SELECT context FROM completions ORDER BY line")["context"]
    ]
    assert contexts[0] == {"score": 0.95}
    assert contexts[3] == {"evaluation_error": "no", "raw_evaluation": "I cannot"}


def test_examples_for_dpo(store, tmp_path):
    def judged(output, **rest):
        row = evaluated(output=output, **rest)
        return {name: row[name] for name in ("output", "raw_evaluation", "evaluation_error", "evaluation")}

    worse = dict(zip(CRITERIA, ("no", 1, 2, "yes"), strict=True))
    every = [
        judged(" Why?"),
        judged("  "),
        judged("Hm", evaluation_error="x", evaluation=None),
        judged("9", evaluation=worse),
        judged("?", evaluation=None, raw_evaluation="x", evaluation_error="x"),
    ]
    example = {
        "prompt": "p",
        "chosen_eval": every[0],
        "rejected_eval": every[3],
        "all_evaluations": every,
        "chosen": " Why?",
        "rejected": "9",
    }
    report = load_rows(
        store,
        "socratic-llm",
        tmp_path / "a.json",
        [
            example,
            example | {"prompt": "q", "all_evaluations": []},
            example | {"all_evaluations": [3]},
            example | {"all_evaluations": [every[1]]},
            example | {"all_evaluations": [judged("x", evaluation=[1])]},
        ],
    )
    full = [4, 5, 2, 1]
    assert rated(store) == [
        (1, "Why?", full),
        (1, "Hm", full),
        (1, "9", [2, 1, 1, 2]),
        (1, "?", [None]),
        (2, "Why?", full),
        (2, "9", [2, 1, 1, 2]),
    ]
    assert report.rejects == 3
    assert reasons(store) == [
        (3, "an evaluated output: 'output' is missing or not text"),
        (4, "no evaluated output has text"),
        (5, "an evaluated output: 'evaluation' is not an object"),
    ]
    assert report.notes[1] == "a.json: outputs that are empty and were left out: 1, the first in row 1"
    assert query(
        store, "SELECT DISTINCT a.kind, a.pseudonym, r.annotator IS NOT NULL FROM annotators a, ratings r"
    ).rows() == [("model", "judge", True)]
    picked = query(
        store, "SELECT context->>'picked' AS p, count(*) FROM completions GROUP BY 1 ORDER BY 1"
    ).rows()
    assert picked == [("chosen", 2), ("rejected", 2), (None, 2)]


def test_what_socratic_llm_rejects(store, tmp_path):
    values = evaluated()["evaluation"]
    rows = [
        "A prompt",
        " ",
        5,
        None,
        ["x"],
        {"output": "x"},
        {"prompt": {"a": 1}, "output": "x"},
        {"prompt": "x"},
        evaluated(output="  "),
        evaluated(output=3),
        evaluated(evaluation="yes"),
        evaluated(evaluation=values | {"questions": "perhaps"}),
        evaluated(evaluation=values | {"on_topic": 2.5}),
        evaluated(evaluation=values | {"helpful": 6}),
    ]
    report = load_rows(store, "socratic-llm", tmp_path / "a.json", rows)
    assert (report.rows, report.rejects, count(store, PROMPTS)) == (1, len(rows) - 1, 1)
    kind, missing = "expected a prompt's text, or an object with a 'prompt'", "the prompt is missing or empty"
    whole = "expected a whole number from 1 to 5"
    assert reasons(store) == list(
        enumerate(
            [
                missing,
                kind,
                kind,
                kind,
                missing,
                "'prompt' is not text",
                "'output' is missing or not text",
                "'output' is empty",
                "'output' is missing or not text",
                "'evaluation' is not an object",
                "'questions' is 'perhaps', expected yes or no",
                f"'on_topic' is '2.5', {whole}",
                f"'helpful' is '6', {whole}",
            ],
            2,
        )
    )


def test_both_through_the_command_line(preceptor, tmp_path):
    (tmp_path / "mrbench.json").write_text(json.dumps([conversation("1"), conversation("")]))
    (tmp_path / "prompts.json").write_text(json.dumps(["A prompt", "A prompt"]))
    (tmp_path / "facts.json").write_text("{}")
    for name, path in (("mrbench", tmp_path), ("socratic-llm", tmp_path / "prompts.json")):
        ended = preceptor("ingest", name, path, "--source", name, cwd=tmp_path)
        assert ended.returncode == 0, ended.stderr
    rejected = preceptor("status", "--rejects", "mrbench", cwd=tmp_path).stdout
    assert "is missing or empty" in rejected
    shown = " ".join(preceptor("status", cwd=tmp_path).stdout.split())
    assert (
        "note on socratic-llm: prompts.json: prompts that repeat an earlier one, stored once: 1 of 2" in shown
    )


def test_a_folder_of_socratic_llm_is_its_lists(tmp_path):
    for name, text in (("b.json", " \n [1]"), ("facts.json", "{}"), ("empty.json", ""), ("a.json", '["x"]')):
        (tmp_path / name).write_text(text)
    files = find_inputs(FORMATS["socratic-llm"], [tmp_path])
    assert [file.name for file in files] == ["a.json", "b.json"]


SAMPLES = {
    "mrbench": [conversation(str(n), None, f"s{n % 2}", Gemini=YES, Expert=YES) for n in range(3)],
    "socratic-llm": [evaluated(f"<problem>é{n}</problem>") for n in range(2)] + ["A prompt", "A prompt"],
}
PIECES = [
    b"\xff",
    b'"',
    b"{",
    b"}",
    b"\\",
    b",",
    b"[",
    b"null",
    b"\\u0000",
    b"\r\n",
    b"Tutor:",
    b"9",
    b"\xc2\xa0",
]


def check(con, format, path, expected=None):
    """Ingest into an emptied store: nothing is lost, every signal has its completion."""
    for name in query(con, "SELECT name FROM sources")["name"]:
        remove_source(con, name)
    try:
        report = ingest(
            con, FORMATS[format], [Input(path, path.name)], Context("s"), Origin(read_license(None))
        )
    except SourceError:
        return
    assert expected is None or report.rows + report.rejects == expected
    assert report.rejects == count(con, REJECTS)
    for table, column, other in (("completions", "prompt", PROMPTS), ("ratings", "completion", COMPLETIONS)):
        lost = f"SELECT count(*) FROM {table} WHERE {column} NOT IN (SELECT key FROM {other.name})"
        assert query(con, lost).item() == 0
    assert query(con, "SELECT count(*) FROM ratings WHERE value NOT BETWEEN 1 AND levels").item() == 0
    assert query(con, "SELECT count(*) = count(DISTINCT ref) FROM completions").item()
    assert query(con, "SELECT count(*) FROM completions WHERE trim(content) = ''").item() == 0
    assert query(con, "SELECT count(*) FROM prompts WHERE messages[-1].role <> 'user'").item() == 0
    if format == "mrbench" and report.rows:
        assert count(con, TURNS) > 0


@pytest.mark.parametrize("format", SAMPLES)
def test_damaged_lists_balance(opened, tmp_path, format):
    whole = json.dumps(SAMPLES[format], ensure_ascii=False, indent=0).encode()
    path = tmp_path / "f.json"

    @few()
    @given(
        st.lists(
            st.tuples(st.integers(0, len(whole)), st.integers(0, 12), st.sampled_from([b"", *PIECES])),
            max_size=3,
        )
    )
    def run(changes):
        data = whole
        for place, gone, piece in changes:
            data = data[:place] + piece + data[place + gone :]
        path.write_bytes(data)
        check(opened, format, path)

    run()


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 9)
    | st.floats(0, 9, width=16)
    | st.text(max_size=3)
    | st.sampled_from(["yes", "No", "x\u0000y", " ", "Student: 9", "\ufdd0", "{}"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["output", "evaluation", "response", "annotation", "helpful", 'a"b', "$.x", ""]),
            inner,
            max_size=2,
        )
    ),
    max_leaves=6,
)


@pytest.mark.parametrize("format", SAMPLES)
def test_any_json_in_any_place_balances(opened, tmp_path, format):
    path = tmp_path / "f.json"

    @few()
    @given(st.data())
    def run(data):
        rows = json.loads(json.dumps(SAMPLES[format]))
        for row in rows:
            if isinstance(row, dict) and data.draw(st.booleans()):
                inside = data.draw(st.sampled_from([row, *(v for v in row.values() if isinstance(v, dict))]))
                inside[data.draw(st.sampled_from([*inside, "all_evaluations", "tutor_responses"]))] = (
                    data.draw(ANYTHING)
                )
        path.write_text(json.dumps(rows))
        check(opened, format, path, len(rows))

    run()
