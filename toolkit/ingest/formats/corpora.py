"""Formats of grammar-error corpora."""

from .format import JSONL, M2, Format, Sign

CORPORA = (
    Format(
        "m2",
        "gec",
        "Learner sentences with annotators' edits (CoNLL-2014, ERRANT, JFLEG …).",
        "S This are a sentence .\nA 1 2|||R:VERB:SVA|||is|||REQUIRED|||-NONE-|||0",
        "gec.m2:read_m2",
        (
            Sign(
                "sentences (S) with edits (A … |||) below them",
                text=r"(?m)^S .*\n(?:T\d.*\n)*A -?\d+ -?\d+\|\|\|",
            ),
        ),
        M2,
    ),
    Format(
        "bea-json",
        "gec",
        "W&I+LOCNESS and FCE as published: JSON Lines with character offsets.",
        '{"text": "I has a dog.", "id": "1-1", "cefr": "A1.i",\n'
        ' "edits": [[0, [[2, 5, "have", "R:VERB:SVA"]]]]}',
        "gec.bea_json:read_bea",
        (
            Sign(
                "texts with edits by character (text, edits)",
                keys=("text", "edits"),
                text=r'"edits"\s*:\s*\[\s*\[\s*\S+?\s*,\s*\[',
            ),
        ),
        ("*.json", *JSONL),
        people=True,
    ),
    Format(
        "nucle-sgml",
        "gec",
        "NUCLE: SGML documents with mistakes by paragraph and offset.",
        '<DOC nid="12"><TEXT><P>\nI has a dog .\n</P></TEXT>\n<ANNOTATION teacher_id="8">\n'
        '<MISTAKE start_par="0" start_off="2" end_par="0" end_off="5">\n'
        "<TYPE>SVA</TYPE><CORRECTION>have</CORRECTION></MISTAKE>\n</ANNOTATION></DOC>",
        "gec.nucle:read_nucle",
        (Sign("SGML of documents with mistakes (<DOC nid=…>)", text=r"<DOC\s+nid="),),
        ("*.sgml", "*.sgm"),
    ),
    Format(
        "ua-gec",
        "gec",
        "UA-GEC: Ukrainian documents with corrections inside, one layer.",
        "==> 0006.a1.ann <==\nПривіт{=>,:::error_type=Punctuation} {Настя=>Насте:::error_type=G/Case}!",
        "gec.ua_gec:read_ua_gec",
        (
            Sign(
                "corrections inside the text ({wrong=>right:::error_type=…})",
                text=r"\{[^{}]*=>[^{}]*:::error_type=",
            ),
        ),
        finder="gec.ua_gec:find_ua_gec",
        together=True,
        people=True,
        language="uk",
    ),
    Format(
        "relco",
        "gec",
        "ReLCo: Russian answers, what was expected, marked words.",
        "==> gram_err.csv <==\nid|time|attempt|sentence\n7|149963.9||Они __суровые__ люди .\n"
        "==> correct_gram_err.csv <==\nid|time|attempt|sentence\n7|149963.9||Они __сурово__ люди .",
        "gec.relco:read_relco",
        (
            Sign(
                "ReLCo's columns, marked words (__…__) in sentences",
                keys=("id", "time", "attempt", "sentence"),
                text=r"__",
            ),
        ),
        finder="gec.relco:find_relco",
        together=True,
        people=True,
        language="ru",
    ),
    Format(
        "parallel",
        "gec",
        "Line-aligned texts: a source, then its references (JFLEG).",
        "==> dev.src <==\nFor not use car .\n==> dev.ref0 <==\nNot for use with a car .",
        "gec.parallel:read_parallel",
        (
            Sign("line-aligned texts by name (.src, .ref0 …)", name=r"\.(src|trg|ref\d*)$", kinds=("text",)),
            Sign(
                "line-aligned texts by name",
                name=r"\.(source|ann\d+)$|\.(in)?correct(\.txt)?$",
                kinds=("text",),
            ),
            Sign("sentences and corrections by name (.para)", name=r"\.para$", kinds=("text",)),
            Sign(
                "entries of Lang-8: counts, an address, a sentence and its corrections",
                text=r"\A\d+\t\d+\thttps?://\S+\t\d+\t",
            ),
        ),
        finder="gec.parallel:find_parallel",
        options=("align",),
        together=True,
    ),
    Format(
        "c4-200m",
        "generated",
        "C4_200M: clean sentences and edits that corrupt them.",
        "==> edits.tsv <==\n00000002020d286371dd59a2f8a900e6\t8\t13\tis \n"
        "==> target_sentences.tsv <==\n00000002020d286371dd59a2f8a900e6\tBitcoin goes for $7.",
        "gec.c4_200m:read_c4",
        (Sign("hashes of sentences, then sentences or edits, by tabs", text=r"\A[0-9a-f]{32}\t"),),
        finder="gec.c4_200m:find_c4",
        together=True,
    ),
    Format(
        "rulec-sents",
        "gec",
        "RULEC-GEC's sentences without edits.",
        "2_15_7[Это важно для нашей страны .",
        "gec.rulec_sents:read_sents",
        (Sign("numbered sentences (2_15_7[…)", text=r"\A\d+_\d+_\d+\["),),
        ("*.sents", "*.sents.gz"),
        language="ru",
    ),
)
