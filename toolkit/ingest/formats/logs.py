"""Formats of what learners did."""

from .format import JSONL, OF_ONE, TABLES, TABULAR, Format, Sign

LOGS = (
    Format(
        "outcomes",
        "log",
        "What learners achieved: CSV, JSON Lines, Parquet or .xlsx.",
        "completion,learner,measure,value,censored,at\np1-a,learner-9,turns,2,false,\n"
        "p1-a,learner-4,success,1,,",
        "preferences.signals:read_outcomes",
        (),
        TABLES,
        about="completions",
        people=True,
        options=TABULAR,
        table="preferences.signals:OUTCOME_COLUMNS",
    ),
    Format(
        "reviews",
        "log",
        "Study logs: CSV, JSON Lines, Parquet, .xlsx, ASSISTments' lines.",
        "learner,item,skills,at,correct,attempts,duration_ms\n"
        "learner-9,card-17,plural|articles,2026-05-04T10:00:00Z,true,1,2300",
        "logs.reviews:read_reviews",
        (
            Sign(
                "ASSISTments' lines: a number, as many skills, as many answers",
                text=r"\A\d+\r?\n\d+(,\d+)*,?\r?\n[01](,[01])*,?\r?\n",
            ),
        ),
        TABLES,
        people=True,
        mapped=True,
        finish="logs.repeats:merge_repeats",
        options=(*OF_ONE, "passing", "keep_repeats", *TABULAR),
        table="logs.reviews:REVIEW_COLUMNS",
        needs=("correct", "grade"),
    ),
    Format(
        "anki",
        "log",
        "Anki's review log: a collection, a package or revlog.csv.",
        "==> revlog.csv <==\nid,cid,usn,ease,ivl,lastIvl,factor,time,type\n"
        "1737747496478,1724592148120,1170,3,-600,-60,0,2411,0",
        "logs.anki:read_anki",
        (
            Sign("Anki's review log (cid, ease, lastIvl)", keys=("cid", "ease", "ivl", "lastIvl")),
            Sign("Anki's collection or package", name=r"\.(colpkg|apkg|anki2|anki21)$"),
        ),
        finder="logs.anki:find_anki",
        people=True,
        mapped=True,
        options=OF_ONE,
    ),
    Format(
        "xapi",
        "log",
        "xAPI statements of answers, with result.success: JSON or JSON Lines.",
        '[{"actor": {"mbox": "mailto:ada@example.org"},\n'
        '  "verb": {"id": "http://adlnet.gov/expapi/verbs/answered"},\n'
        '  "object": {"id": "https://lms.example.org/q/1"},\n'
        '  "result": {"success": true, "duration": "PT12.5S"},\n  "timestamp": "2026-03-01T10:00:00Z"}]',
        "logs.xapi:read_xapi",
        (Sign("statements of actor, verb and object", inside=("actor", "verb", "object")),),
        ("*.json", *JSONL),
        people=True,
        lists=True,
    ),
)
