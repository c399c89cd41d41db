"""Real corpora against the figures beside them: what a correct ingest must reproduce."""

import json

import polars as pl
import pytest

from preceptor.schemas.licenses import read_license
from preceptor.schemas.tables import TABLES
from preceptor.toolkit.dataset.choose.corrections import correct_sentence, select_corrections
from preceptor.toolkit.ingest.batch import Context
from preceptor.toolkit.ingest.formats import FORMATS
from preceptor.toolkit.ingest.gec.m2_writer import export_m2
from preceptor.toolkit.ingest.run import Origin, find_inputs, ingest
from preceptor.toolkit.store.connection import count, query


def load(store, format, path, source="s"):
    files = find_inputs(FORMATS[format], [path])
    return ingest(store, FORMATS[format], files, Context(source), Origin(read_license(None)))


def facts_of(folder):
    return json.loads((folder / "facts.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["", "wide/pairs.jsonl", "wide/pairs.csv", "wide/bayesian_data.json"])
def test_smart(store, shared_data, name):
    folder = shared_data / "smart"
    report = load(store, "smart", folder / name)
    facts = facts_of(folder)
    assert (report.rows, report.rejects) == (facts["pairs"], 0)
    votes = dict(query(store, "SELECT choice, count(*) FROM votes GROUP BY 1").rows())
    assert votes == facts["votes"]
    for side in ("a", "b"):
        ratings = query(
            store,
            "SELECT r.value::VARCHAR, count(*) FROM ratings r JOIN completions c "
            f"ON c.key = r.completion WHERE c.ref LIKE '%-{side}' GROUP BY 1",
        )
        assert dict(ratings.rows()) == facts["ratings"][side]["histogram"]
        outcomes = query(
            store,
            "SELECT o.value::BIGINT::VARCHAR, count(*) FROM outcomes o JOIN completions c "
            f"ON c.key = o.completion WHERE c.ref LIKE '%-{side}' GROUP BY 1",
        )
        assert dict(outcomes.rows()) == facts["outcomes"][side]["histogram"]
    pairs = query(
        store,
        "SELECT count(*)::VARCHAR, n FROM (SELECT 0), (SELECT completion_a, count(*)::VARCHAR AS n "
        "FROM votes GROUP BY 1) GROUP BY n",
    )
    assert {n: int(count) for count, n in pairs.rows()} == facts["votes_per_pair"]


@pytest.mark.parametrize(
    ("folder", "file", "path"),
    [
        ("jfleg", "EACL_exp/m2converter/dev.ref.m2", ["m2"]),
        ("relco", "errors_tagged.m2", ["errors_tagged.m2"]),
        ("cweb", "m2/CWEB-S.dev.m2", ["m2/CWEB-S.dev.m2"]),
        ("cweb", "m2/CWEB-S.dev.ann1.m2", ["m2/CWEB-S.dev.ann1.m2"]),
        ("ua-gec", "gec-only.test.m2", ["m2", "gec-only"]),
        ("ua-gec", "gec-fluency.test.m2", ["m2", "gec-fluency"]),
        ("estgec-l2", "dev/source_gold_dev.txt", ["dev/source_gold_dev.txt"]),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_m2(store, shared_data, tmp_path, folder, file, path):
    facts = facts_of(shared_data / folder)
    for key in path:
        facts = facts[key]
    report = load(store, "m2", shared_data / folder / file)
    edits = query(store, "SELECT * FROM edits")
    rejects = query(store, "SELECT * FROM rejects")
    headers = facts.get("document_header_blocks", 0)  # "S # 0002" with a noop of every annotator
    assert count(store, TABLES["sentences"]) == facts["sentences"] - headers
    assert edits.height + rejects.height == facts["a_lines"] - headers * len(facts["annotators"])
    assert report.rows + report.rejects == facts["sentences"] + facts["a_lines"]
    noop = edits.filter(pl.col("start") == -1)
    for annotator, expected in facts["per_annotator"].items():
        mine = noop.filter(pl.col("annotator") == annotator).height
        lost = rejects.filter(pl.col("raw").str.ends_with(f"|||{annotator}")).height
        assert edits.filter(pl.col("annotator") == annotator).height - mine + lost == expected["edits"]
        assert mine == expected["noop_lines"] - headers
    types = pl.concat(
        [edits.filter(pl.col("start") >= 0)["error_type"], rejects["raw"].str.split("|||").list.get(1)]
    )
    for name, times in facts["top5_types"]:
        assert (types == name).sum() == times
    sizes = dict(query(store, "SELECT left(errant_type, 1), count(*) FROM edits GROUP BY 1").rows())
    if not report.rejects:
        assert sizes.get("M", 0) == facts["insertions"]
        assert sizes.get("U", 0) == facts["deletions"]
        assert sizes.get("R", 0) == facts["replacements"]
    if not facts["problems"] or folder == "relco":  # all in the form that ERRANT writes
        export_m2(store, "s", tmp_path / "out.m2")
        assert (tmp_path / "out.m2").read_bytes() == (shared_data / folder / file).read_bytes()


def test_the_malformed_lines_of_jfleg_lie_in_rejects(store, shared_data):
    folder = shared_data / "jfleg"
    load(store, "m2", folder / "EACL_exp" / "m2converter" / "dev.ref.m2")
    lines = query(store, "SELECT line FROM rejects ORDER BY line")["line"].to_list()
    assert lines == sorted(bad["line"] for bad in facts_of(folder)["m2"]["malformed"])
    source = (folder / "dev" / "dev.src").read_text().splitlines()
    texts = query(store, "SELECT text FROM sentences ORDER BY position")["text"].to_list()
    assert [t.split() for t in texts] == [s.split() for s in source]


def texts_of(store, annotator):
    """Every sentence in order, as the annotator would have it; the learner's where they are silent."""
    made = query(
        store,
        f"""SELECT coalesce(c.text, s.text) AS text FROM sentences s LEFT JOIN (
        {select_corrections("e.source = 's'")}) c ON c.sentence = s.key AND c.annotator = '{annotator}'
        ORDER BY s.path, s.position""",
    )
    return made["text"].to_list()


@pytest.mark.parametrize("name", ["CWEB-S.dev.m2", "CWEB-S.dev.ann1.m2"])
def test_corrections_of_cweb_are_its_texts(store, shared_data, name):
    folder = shared_data / "cweb"
    load(store, "m2", folder / "m2" / name)
    for annotator, fact in facts_of(folder)[f"m2/{name}"]["apply"].items():
        reference = (folder / fact["text"]).read_text(encoding="utf-8").splitlines()
        made = texts_of(store, annotator)
        assert sum(a.split() == b.split() for a, b in zip(made, reference, strict=True)) == fact["equal"]


def test_corrections_of_jfleg_are_its_references_but_for_case(store, shared_data):
    folder = shared_data / "jfleg"
    load(store, "m2", folder / "EACL_exp" / "m2converter" / "dev.ref.m2")
    for annotator, fact in facts_of(folder)["m2"]["apply"].items():
        reference = (folder / "dev" / fact["ref"]).read_text().splitlines()
        made = list(zip(texts_of(store, annotator), reference, strict=True))
        assert sum(a.split() == b.split() for a, b in made) == fact["equal_tokens"]
        folded = [
            n for n, (a, b) in enumerate(made, 1) if "".join(a.lower().split()) != "".join(b.lower().split())
        ]
        assert folded == fact["lines_not_equal_even_ignoring_case_and_spaces"]


@pytest.mark.parametrize("layer", ["gec-only", "gec-fluency"])
def test_corrections_of_ua_gec_are_its_documents_but_for_spaces(store, shared_data, layer):
    folder = shared_data / "ua-gec"
    load(store, "m2", folder / f"{layer}.test.m2")
    documents = query(store, "SELECT document FROM sentences ORDER BY position")["document"].to_list()
    assert len(set(documents)) == facts_of(folder)["documents_in_m2"]
    compared = 0
    for annotator in "01":
        made = {}
        for document, text in zip(documents, texts_of(store, annotator), strict=True):
            made[document] = made.get(document, "") + "".join(text.split())
        for target in (folder / layer / "target").glob(f"*.a{int(annotator) + 1}.txt"):
            assert made[target.name[:4]] == "".join(target.read_text(encoding="utf-8").split())
            compared += 1
    assert compared == facts_of(folder)["annotated"][layer]["files"]


def test_a_word_order_edit_takes_its_inner_edits_with_it(store, shared_data):
    load(store, "m2", shared_data / "estgec-l2" / "dev" / "source_gold_dev.txt")
    key = query(store, "SELECT key FROM sentences WHERE line = 152").item()
    assert correct_sentence(store, key, "0") == "Palun tulge täna õhtu poole minu juurde ."
    made = query(store, select_corrections("e.source = 's'"))
    pairs = query(store, "SELECT DISTINCT sentence, annotator FROM edits")
    assert made.height == pairs.height


def test_a_comma_beside_a_word_order_edit_is_kept_as_other_insertions_are(store, shared_data):
    load(store, "m2", shared_data / "estgec-l2" / "dev" / "source_gold_dev.txt")
    texts = dict(
        query(
            store,
            f"""SELECT s.line, c.text FROM ({select_corrections("e.source = 's'")}) c
            JOIN sentences s ON s.key = c.sentence WHERE c.annotator = '0'""",
        ).rows()
    )
    assert texts[8757] == (
        "Minu arvates on väga oluline aspekt , mis kujundab meie isiksust , see , kuidas me suhtume teistesse ."
    )
    assert " hoida kokku raha , aega ja närvi , ja see " in texts[8277]
    assert texts[79].endswith(" kontrollige , mis masinal viga on .")
