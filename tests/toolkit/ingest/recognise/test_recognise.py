"""Every source and case is recognised as what it is, or not at all; ugly files never crash."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preceptor.schemas.errors import PreceptorError
from preceptor.toolkit.ingest.formats import FORMATS
from preceptor.toolkit.ingest.recognise.recognise import recognise
from preceptor.toolkit.ingest.run import ingest_files

# Path below ../shared/data: its format, or None where no format reads it. "?" after it: a person is asked.
DATA = {
    "anki-revlog": "anki",
    "anki-revlog/revlog.csv": "anki",
    "anki-revlog/cards.csv": None,
    "assistments-kt/assist2009_updated_valid1.csv": "reviews",
    "bridge": "bridge",
    "bridge/train.json": "bridge",
    "c4-200m-sample": "c4-200m",
    "cima": "cima",
    "cima/dataset.json": "cima",
    "cweb/m2/CWEB-S.dev.m2": "m2",
    "estgec-l2/dev/source_gold_dev.txt": "m2",
    "estgec-l2/dev/source_sentences_dev.txt": None,
    "gsm8k": "gsm8k",
    "gsm8k/test.jsonl": "gsm8k",
    "gsm8k/test_socratic.jsonl": "gsm8k",
    "gsm8k/example_model_solutions.jsonl": "gsm8k",
    "jfleg": "m2?",  # also parallel texts and rankings: which of them, is to be said
    "jfleg/dev": "parallel",
    "jfleg/EACL_exp/m2converter/dev.ref.m2": "m2",
    "jfleg/EACL_exp/mturk/pairwise.csv": "votes",
    "jfleg/EACL_exp/mturk/sample.csv": None,
    "jfleg/EACL_exp/manual_eval/coded_sentences.csv": None,
    "mathdial": "mathdial",
    "mathdial/test.jsonl": "mathdial",
    "mathdial/test.csv": None,
    "mrbench": "mrbench",
    "mrbench/MRBench_V2.json": "mrbench",
    "relco": "relco",
    "relco/manually_annotated_sent.csv": "relco",
    "smart": "smart",
    "smart/wide/pairs.jsonl": "smart",
    "smart/wide/pairs.csv": "smart",
    "smart/wide/bayesian_data.json": "smart",
    "smart/long/votes.csv": None,
    "socratic-debugging": "socratic-debugging",
    "socratic-llm": "socratic-llm",
    "socratic-llm/debugging_test.json": "socratic-llm",
    "socratic-llm/mathdial_human_eval.json": "socratic-llm",
    "spock-bio-problems": "spock-problems",
    "spock-phys": "spock",
    "ua-gec": "m2?",  # two layers of documents: which of them, is to be said
    "ua-gec/gec-only": "ua-gec",
    "ua-gec/gec-only.test.m2": "m2",
    "uptake": "uptake",
    "uptake/uptake_data.csv": "uptake",
}
CASES = {
    "01-m2-alternatives/a.m2": "m2",
    "02-cherrant-m2/dev.m2": "m2",
    "03-mucgec-para/dev.para": "parallel",
    "04-lang8-entries/entries.train": "parallel",
    "05-bea-json-3/A.dev.json": "bea-json",
    "08-pandas-csv/index.csv": "reviews",
    "09-bigquery-utc/Log_Problem.csv": "reviews",
    "09-bigquery-utc/times.csv": "reviews",
    "10-hlr/learning_traces.csv": "reviews?",  # whether an answer was right is in no column
    "12-assist2009/skill_builder_data.csv": "reviews?",  # its encoding is a guess
    "20-judge/p.jsonl": "prompts",
    "21-rich-markup/votes.csv": "votes?",
    "22-silly/bom.csv": "votes?",  # without a store that has the completions
    "22-silly/mac.csv": "votes?",
    "22-silly/semi.csv": "votes?",
    "22-silly/sep.csv": "votes?",
    "22-silly/u16.csv": "votes?",
    "22-silly/v.csv.gz": "votes?",
    "22-silly/v.zip": "votes?",
    "22-silly/dup.csv": "votes?",
    "22-silly/nul.csv": None,
    "22-silly/v3.txt": None,
    "22-silly/p2.json": None,
    "22-silly/p3.jsonl": "prompts",
    "25-forms/forms-ada.csv": None,  # of a campaign: another command reads it
    "25-forms/ls.json": None,
    "42-card-language/de.m2": "m2",
    "50-parallel/w.src": "parallel",
    "50-parallel/c.csv": "prompts?",
    "50-parallel/head.tsv": None,
    "52-xapi/st.jsonl": "xapi",
    "52-xapi/statements.json": "xapi",
    "52-xapi/dpo.csv": "chat",
    "52-xapi/moodle.csv": None,
    "61-nucle/n.sgml": "nucle-sgml",
    "62-ratings/r.csv": "ratings?",
    "63-argilla/a2.csv": None,
    "63-argilla/a2.json": None,
    "66-json-escapes/r-sur.jsonl": "reviews",
    "66-json-escapes/p-sur.jsonl": "prompts",
    "66-json-escapes/nan.jsonl": "chat",
    "66-json-escapes/typo.jsonl": None,
}


def say(found):
    if found.best is None:
        assert found.faults, "an unknown file is described"
        return None
    return found.best.format + ("" if found.sure else "?")


@pytest.mark.parametrize(("path", "right"), DATA.items())
def test_sources_are_recognised(path, right, shared_data):
    assert say(recognise([shared_data / path])) == right


@pytest.mark.parametrize(("path", "right"), CASES.items())
def test_cases_are_recognised(path, right, shared_cases):
    assert say(recognise([shared_cases / path])) == right


def look(path):
    """A file is recognised, or described, or refused by name."""
    said = ""
    try:
        found = recognise([path])
        said = path.name if found.best is not None else "\n".join(found.faults)
    except PreceptorError as error:
        said = str(error)
    assert path.name in said


def test_all_shapes_of_chats_are_chats(shared_cases):
    for path in sorted((shared_cases / "07-chat-shapes").iterdir()):
        assert say(recognise([path])) == "chat", path


def test_no_case_crashes(shared_cases):
    for path in sorted(shared_cases.rglob("*")):
        if path.is_file():
            look(path)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_brings_its_sign(name, tmp_path):
    """The example of a format's help is recognised as this format, before all others."""
    format = FORMATS[name]
    assert format.signs or format.table
    text = format.example
    if text.startswith("{"):  # one JSON object, wrapped and shortened for the eye
        text = text.replace("\n", "").replace(", …", "")
    if not text.startswith("==> "):
        suffix = ".jsonl" if text.startswith("{") or not format.patterns else format.patterns[0].lstrip("*")
        suffix = (
            ".csv"
            if text.partition("\n")[0].count(",") and suffix == ".jsonl" and "{" not in text
            else suffix
        )
        text = f"==> example{suffix} <==\n{text}"
    folder = tmp_path / "example"
    folder.mkdir()
    for part in text.removeprefix("==> ").split("\n==> "):
        file, _, content = part.partition(" <==\n")
        (folder / file).write_text(content + "\n", encoding="utf-8")
    files = sorted(folder.iterdir())
    found = recognise([folder] if len(files) > 1 else files)
    assert found.best is not None
    assert found.best.format == name


def write_texts(store, tmp_path):
    (tmp_path / "p.jsonl").write_text(
        "".join(
            json.dumps(
                {
                    "id": term,
                    "task": "mnemonic",
                    "prompt": term,
                    "completions": [{"id": f"{term}-{n}", "content": f"text {n} of {term}"} for n in (1, 2)],
                }
            )
            + "\n"
            for term in ("osmosis", "isotope")
        )
    )
    ingest_files(store, "prompts", [tmp_path / "p.jsonl"], "texts")


# A file about texts of the store: its format and options, and what is left to be said or guessed.
ABOUT = {
    "any names": (
        "v.csv",
        "Links;Rechts;Urteil;Wer\nosmosis-1;osmosis-2;links;Ada\nisotope-1;isotope-2;gleich;Ben\n",
        "votes",
        {
            "map": {
                "completion_a": "Links",
                "completion_b": "Rechts",
                "choice:a": "links",
                "choice:tie": "gleich",
            }
        },
        "guessed: column 'Urteil' is choice",
    ),
    "a form": (
        "f.csv",
        "Timestamp,Name,Which is better: osmosis,Which is better: isotope\n2026/05/01 9:15:00,Ada,First,Both are equal\n",
        "votes",
        {"wide": "Which is better: {prompt}"},
        None,
    ),
    "a log": (
        "o.csv",
        "user,card,solved,day\nada,osmosis-1,no,01.05.2026\nben,osmosis-2,yes,13.05.2026\n",
        "outcomes",
        {"set": {"measure": "success"}, "date_format": "%d.%m.%Y"},
        None,
    ),
    "two ways to write a day": (
        "o.csv",
        "user,card,solved,day\nada,osmosis-1,no,01/05/2026\n",
        "outcomes",
        {"date_format": "%d/%m/%Y"},
        "the day may come second",
    ),
    "the month first": (
        "o.csv",
        "user,card,solved,day\nada,osmosis-1,no,05/13/2026\n",
        "outcomes",
        {"date_format": "%m/%d/%Y"},
        None,
    ),
    "levels": (
        "r.csv",
        "item,criterion,stars,rater\nosmosis-1,clear,4,Ada\nosmosis-2,clear,5,Ada\n",
        "ratings",
        {"levels": 5},
        "guessed: ratings have 5 levels",
    ),
    "a word that means nothing": (
        "v.csv",
        "completion_a,completion_b,choice\nosmosis-1,osmosis-2,a\nosmosis-1,osmosis-2,perhaps\n",
        "votes",
        {},
        "say what 'perhaps' means",
    ),
    "numbers that may be two things": (
        "o.csv",
        "completion,value\nosmosis-1,1\nosmosis-2,0\n",
        "outcomes",
        {"set": {"measure": "success"}},
        "guessed: 'value' is success",
    ),
}


@pytest.mark.parametrize("name", ABOUT)
def test_what_is_about_texts_of_the_store(name, store, tmp_path):
    write_texts(store, tmp_path)
    file, text, format, options, doubt = ABOUT[name]
    (tmp_path / file).write_text(text)
    found = recognise([tmp_path / file], store)
    assert found.best.format == format
    for option, value in options.items():
        got = found.best.options[option]
        assert got == value if not isinstance(value, dict) else value.items() <= got.items()
    doubts = "\n".join(found.list_doubts())
    assert doubts == "" if doubt is None else doubt in doubts


def test_what_the_user_says_wins(store, tmp_path):
    write_texts(store, tmp_path)
    (tmp_path / "v.csv").write_text("a,b,x,y\nosmosis-1,osmosis-2,first,second\n")
    given_ = {"map": {"completion_a": "b", "completion_b": "a", "choice": "y"}}
    found = recognise([tmp_path / "v.csv"], store, given_)
    assert found.best.format == "votes"
    assert found.best.options["map"] | given_["map"] == found.best.options["map"]


def test_cyrillic_and_western_bytes(store, tmp_path):
    write_texts(store, tmp_path)
    for encoding, word in (("windows-1251", "Суддя"), ("windows-1252", "Prüfer")):
        text = f"completion_a,completion_b,choice,{word}\nosmosis-1,osmosis-2,a,{word}\n"
        (tmp_path / "v.csv").write_bytes(text.encode(encoding))
        found = recognise([tmp_path / "v.csv"], store)
        assert found.best.options["encoding"] == encoding
        assert any("not UTF-8" in doubt for doubt in found.list_doubts())


def test_files_of_two_formats_are_named(tmp_path):
    (tmp_path / "a.m2").write_text("S He go .\nA 1 2|||R|||goes|||REQUIRED|||-NONE-|||0\n\n")
    (tmp_path / "b.csv").write_text("learner,item,correct\nl,i,1\n")
    with pytest.raises(PreceptorError, match=r"(?s)not of one format.*a\.m2: m2.*b\.csv: reviews"):
        recognise([tmp_path / "a.m2", tmp_path / "b.csv"])


@given(
    st.binary(max_size=400),
    st.sampled_from(["x.csv", "x.jsonl", "x.json", "x.txt", "x.xlsx", "x.parquet", "x.zip"]),
)
def test_bytes_never_crash(tmp_path_factory, data, name):
    path = tmp_path_factory.mktemp("any") / name
    path.write_bytes(data)
    look(path)
