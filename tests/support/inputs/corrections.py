"""Small built datasets of corrections, for tests of what is evaluated."""

from preceptor.schemas.licenses import read_license
from preceptor.schemas.recipe import Recipe
from preceptor.toolkit.dataset.build import build
from preceptor.toolkit.ingest.batch import Context
from preceptor.toolkit.ingest.formats import FORMATS
from preceptor.toolkit.ingest.run import Origin, find_inputs, ingest
from preceptor.toolkit.store.connection import open_store

INSTRUCTION = "Correct: {prompt} (nothing else)"


def m2(n, who=2):
    """A sentence that `who` annotators correct in their own ways."""
    edits = [f"A 2 3|||R:VERB|||{('has', 'had', 'got')[k]}|||REQUIRED|||-NONE-|||{k}" for k in range(who)]
    return "\n".join([f"S Sentence {n} have a mistake that nobody in this room sees .", *edits]) + "\n"


def build_corrections(top, formats=("conversational", "plain"), n=20):
    """Folders named as the formats: n sentences of two corrections each, all in the split test."""
    (top / "s.m2").write_text("\n".join(map(m2, range(n))))
    with open_store(top / "s.duckdb", create=True) as con:
        files = find_inputs(FORMATS["m2"], [top / "s.m2"])
        ingest(con, FORMATS["m2"], files, Context("s", "en"), Origin(read_license("CC-BY-4.0")))
        for format in formats:
            recipe = {
                "name": f"gec-{format}",
                "configs": ["preference", "sft"],
                "format": format,
                "corrections": {"rejected": ["learner"]},
                "instruction": INSTRUCTION,
                "splits": {"train": 0, "validation": 0, "test": 1, "shared": True},
            }
            build(con, Recipe.model_validate(recipe), top / format)
    return top
