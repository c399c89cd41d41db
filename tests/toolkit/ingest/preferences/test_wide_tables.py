"""Values in the user's words, and tables with a column a question or a person."""

import json

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preceptor.schemas.errors import SourceError
from preceptor.toolkit.ingest.files.values import split_maps
from preceptor.toolkit.ingest.run import ingest_files
from preceptor.toolkit.store.connection import open_store, query, remove_source
from preceptor.toolkit.store.rejects import count_rejects

TEXTS = [
    {
        "id": f"p{n}",
        "task": "qa",
        "prompt": f"Question {n}?",
        "completions": [{"id": f"p{n}-{side}", "content": f"{side} {n}"} for side in "ab"],
    }
    for n in (1, 2)
]
THREE = TEXTS[0] | {
    "id": "p3",
    "prompt": "Three?",
    "completions": [{"id": f"p3-{n}", "content": n} for n in "xyz"],
}


@pytest.fixture(scope="module")
def con(tmp_path_factory):
    """A store with three prompts: two with two completions, one with three."""
    folder = tmp_path_factory.mktemp("s")
    (folder / "texts.jsonl").write_text("\n".join(json.dumps(prompt) for prompt in [*TEXTS, THREE]))
    with open_store(folder / "s.duckdb", create=True) as con:
        ingest_files(con, "prompts", [folder / "texts.jsonl"], "texts")
        yield con


@pytest.fixture
def load(con, tmp_path):
    """A function that ingests a table written as text into source s."""

    def ingest(format, text, maps=(), **options):
        remove_source(con, "s")
        path = tmp_path / "s.csv"
        path.write_text(text)
        columns, values = split_maps([(ours, theirs) for ours, _, theirs in (m.partition("=") for m in maps)])
        about = {"about": "texts"} if format != "reviews" else {}
        return ingest_files(con, format, [path], "s", columns=columns, values=values, **about, **options)

    return ingest


def votes(con):
    return query(
        con,
        """SELECT v.line, a.ref AS a, b.ref AS b, choice, v.annotator IS NOT NULL AS named FROM votes v
        JOIN completions a ON a.key = completion_a JOIN completions b ON b.key = completion_b ORDER BY v.line, v.n""",
    ).rows()


def rejects(con):
    return query(con, "SELECT line, reason FROM rejects ORDER BY line, reason").rows()


FORM = """Timestamp,Your name,Which is better: p1,Which is better:  Question 2?
1,ann,A,Both are equal
2,ben,p1-b,
3,cid,both,b
"""


def test_a_form_with_a_column_a_question(load, con):
    report = load(
        "votes",
        FORM,
        ["annotator=Your name", "choice:tie=Both are equal", "choice:tie=BOTH", "choice:a=left"],
        wide="Which is better: {prompt}",
    )
    assert votes(con) == [
        (2, "p1-a", "p1-b", "a", True),
        (2, "p2-a", "p2-b", "tie", True),
        (3, "p1-a", "p1-b", "b", True),
        (4, "p1-a", "p1-b", "tie", True),
        (4, "p2-a", "p2-b", "b", True),
    ]
    assert report.notes == [
        "columns that are not read: Timestamp",
        "s.csv: 1 of the cells that --wide names are empty",
        "--map choice:a=left: no row has this choice",
    ]


def test_cells_that_cannot_be_taken_have_the_line_of_their_row(load, con):
    form = "name,q p1,q p9,q p3\nann,A,A,A\nben,perhaps,,\n"
    report = load("votes", form, ["annotator=name"], wide="q {prompt}")
    assert (report.rows, report.rejects) == (1, 3)
    assert rejects(con) == [
        (2, "prompt: 'p3' has 3 completions in source 'texts', expected 2 (column 'q p3')"),
        (2, "prompt: 'p9' names no one prompt of source 'texts' (column 'q p9')"),
        (3, "choice is 'perhaps', expected a, b or tie (column 'q p1')"),
    ]
    shown = query(con, "SELECT string_agg(raw) AS t FROM rejects").item()
    assert "ann" not in shown.replace("annotator", "")


def test_a_row_a_question_and_a_column_a_person(load, con):
    load(
        "ratings",
        "completion,ann,ben\np1-a,3,4\np1-b,1,\n",
        wide="{annotator}",
        levels=5,
        constants={"criterion": "helpful"},
    )
    assert query(con, "SELECT value, criterion FROM ratings ORDER BY line, n").rows() == [
        (3, "helpful"),
        (4, "helpful"),
        (1, "helpful"),
    ]
    assert query(con, "SELECT count(DISTINCT annotator) FROM ratings").item() == 2


@pytest.mark.parametrize(
    ("text", "wide", "split"),
    [
        ("completion,who,clarity,depth\np1-a,ann,3,4\np1-b,ann,2,5\n", "{criterion}", ""),
        (
            "who,clarity [p1-a],depth [p1-a],clarity [p1-b],depth [p1-b]\nann,3,4,2,5\n",
            "{criterion} [{completion}]",
            "",
        ),
        (
            'completion,who,criterion,value\np1-a,ann,clarity,3\np1-a,ann,depth,4\np1-b,ann,clarity,"2"\n'
            "p1-b,ann,depth,5\n",
            "",
            "",
        ),
        (
            'completion,who,criterion,value\np1-a,ann,clarity,3\np1-a,ann,depth,4\np1-b,ann,clarity,"2;"\n'
            "p1-b,ann,depth, 5 \n",
            "",
            ";",
        ),
    ],
)
def test_tables_of_another_shape_say_the_same(load, con, text, wide, split):
    load("ratings", text, ["annotator=who"], wide=wide, split=split, levels=5)
    assert query(
        con,
        """SELECT ref, criterion, value FROM ratings r JOIN completions c ON c.key = r.completion ORDER BY ALL""",
    ).rows() == [("p1-a", "clarity", 3), ("p1-a", "depth", 4), ("p1-b", "clarity", 2), ("p1-b", "depth", 5)]


def test_several_ratings_in_one_field(load, con):
    report = load(
        "ratings",
        "completion,value\np1-a,3;4; 5\np1-b,1\np2-a,;\np2-b,2;6\n",
        split=";",
        levels=5,
        constants={"criterion": "helpful"},
    )
    assert (report.rows, report.rejects) == (5, 2)
    assert query(con, "SELECT line, value FROM ratings ORDER BY ALL").rows() == [
        (2, 3),
        (2, 4),
        (2, 5),
        (3, 1),
        (5, 2),
    ]
    assert [line for line, _ in rejects(con)] == [4, 5]


def test_means_on_another_scale_become_levels(load, con):
    report = load(
        "ratings",
        'completion,value\np1-a,73.4\np1-b,0\np2-a,100\np2-b,"46,5"\np2-b,101\n',
        scale=(0, 100),
        constants={"criterion": "helpful"},
    )
    assert (report.rows, report.rejects) == (4, 1)
    assert query(con, "SELECT value, levels FROM ratings ORDER BY line").rows() == [
        (8, 11),
        (1, 11),
        (11, 11),
        (6, 11),
    ]
    assert rejects(con) == [(6, "value is '101', expected a number from 0 to 100 (--scale)")]


def test_a_row_a_learner_and_a_column_an_item(load, con):
    load(
        "reviews",
        "student,q1,q2\nann,richtig,no\nben,,yes\n",
        ["learner=student", "correct:true=Richtig"],
        wide="{item}",
    )
    assert query(con, "SELECT line, item, correct FROM reviews ORDER BY line, n").rows() == [
        (2, "q1", True),
        (2, "q2", False),
        (3, "q2", True),
    ]


def test_words_of_outcomes(load, con):
    load(
        "outcomes",
        "completion,solved,learner\np1-a,ja,ann\np1-b,nein,ben\n",
        ["value=solved", "value:1=ja", "value:false=nein"],
        constants={"measure": "success"},
    )
    assert query(con, "SELECT value FROM outcomes ORDER BY line")["value"].to_list() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("maps", "options", "said"),
    [
        (["choise:tie=x"], {}, "no column 'choise' with values of its own: did you mean 'choice'"),
        (["annotator:ann=x"], {}, "columns that take them: choice, shown_first"),
        (["choice:tye=x"], {}, "no value 'tye' of choice: its values: a, b, tie"),
        (["choise=x"], {}, "--map choise=…: not a column here; did you mean 'choice'"),
        (
            [],
            {"constants": {"anotator": "x"}},
            "--set anotator=…: not a column here; did you mean 'annotator'",
        ),
        ([], {"wide": "Better: {prompt}"}, "fits none of its columns; the file has Timestamp, Your name"),
        ([], {"wide": "Which is better: {promt}"}, "no column of ours at {promt}; did you mean 'prompt'"),
        ([], {"wide": "Which is better"}, "no column of ours at {}; expected one of prompt, completion_a"),
        ([], {"wide": "{prompt}{prompt}"}, "{prompt} stands twice"),
        ([], {}, "3 columns are missing; the file has Timestamp"),
    ],
)
def test_what_is_misspelt_is_named(load, maps, options, said):
    with pytest.raises(SourceError) as stopped:
        load("votes", FORM, maps, **options)
    assert said in str(stopped.value)


@pytest.mark.parametrize(
    ("maps", "said"),
    [
        ([("choice", "x"), ("choice", "y")], "--map choice=…: given twice"),
        ([("choice:a", "x"), ("choice:b", "X ")], "'X ' is given two values"),
    ],
)
def test_one_meaning_for_each_word(maps, said):
    with pytest.raises(SourceError, match=said):
        split_maps(maps)


@given(
    st.dictionaries(
        st.tuples(st.sampled_from("uvwxyz"), st.sampled_from(["p1-a", "p1-b", "p2-a"])),
        st.integers(1, 5),
        min_size=1,
    )
)
def test_wide_and_long_tables_are_the_same_ratings(con, tmp_path_factory, given_):
    folder = tmp_path_factory.mktemp("w")
    long = pl.DataFrame(
        [{"annotator": who, "completion": ref, "value": v} for (who, ref), v in given_.items()]
    )
    shapes = {
        "long": (long, ""),
        "people": (long.pivot("completion", index="annotator", values="value"), "{completion}"),
        "texts": (long.pivot("annotator", index="completion", values="value"), "{annotator}"),
    }
    found = []
    for name, (frame, wide) in shapes.items():
        remove_source(con, "s")
        frame.write_csv(folder / f"{name}.csv")
        ingest_files(
            con,
            "ratings",
            [folder / f"{name}.csv"],
            "s",
            about="texts",
            levels=5,
            wide=wide,
            constants={"criterion": "c"},
        )
        found.append(query(con, "SELECT completion, annotator, value FROM ratings ORDER BY ALL").rows())
    assert found[0] == found[1] == found[2]
    assert len(found[0]) == len(given_)


def test_a_rejected_cell_keeps_its_row_and_its_column(con, tmp_path):
    path = tmp_path / "f.csv"
    path.write_text("Name,Better: p1,Better: p2\nAda,a,perhaps\nBen,perhaps,b\n")
    options = {"wide": "Better: {prompt}", "about": "texts", "allow_rejects": True}
    ingest_files(con, "votes", [path], "f", **options)
    rejects = query(con, "SELECT line, reason FROM rejects WHERE source = 'f' ORDER BY line").rows()
    assert [(line, reason.partition("(")[2]) for line, reason in rejects] == [
        (2, "column 'Better: p2')"),
        (3, "column 'Better: p1')"),
    ]
    assert count_rejects(con, "f").select("value", "rows").rows() == [("perhaps", 2)]
