"""The formats that `preceptor ingest` knows, by name; a reader is loaded when it is used."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..store.connection import Store
    from .batch import Batch, Context
    from .files.numbered_lines import Input, OnBytes


@dataclass(frozen=True)
class Format:
    """A format: its name, the rows it makes, its files in a folder, and its reader."""

    name: str
    kind: str
    summary: str
    example: str  # what the files look like; of several, "==> name <==" before each
    reader: str  # module:function, from this room
    patterns: tuple[str, ...] = ()
    finder: str = ""  # module:function, if patterns do not find a folder's files
    mapped: bool = False  # takes --map, though its rows name nothing of another source
    people: bool = False  # has ids of learners or annotators, which are stored as pseudonyms
    alone: str = ""  # module:function, whether these files name none, though the format does
    about: str = ""  # completions or prompts: what of another source its rows name
    language: str = "en"  # of the corpora in this format, where they have one
    options: tuple[str, ...] = ()  # of the command line: align, levels, learner, passing, date_format
    lists: bool = False  # reads JSON lists, not only JSON Lines
    finish: str = ""  # module:function over the source's rows, once all of them are stored
    together: bool = False  # its files make sense only beside each other: the reader takes them all

    def read(self, files: "Sequence[Input]", context: "Context", on_bytes: "OnBytes") -> "Iterator[Batch]":
        """Read the files in batches of rows."""
        reader = _load(self.reader)
        if self.together:
            yield from reader(files, context, on_bytes)
        else:
            for file in files:
                yield from reader(file, replace(context, learner=file.learner or context.learner), on_bytes)

    def finish_rows(self, con: "Store", context: "Context", added: dict[str, int]) -> list[str]:
        """Change the source's stored rows as the format's last step does; returns notes for users."""
        return list(_load(self.finish)(con, context, added)) if self.finish else []

    def needs_known(self, files: "Sequence[Input]", context: "Context") -> bool:
        """True if the rows refer to rows that must already be in the store."""
        return bool(self.about and (context.about or not (self.alone and _load(self.alone)(files, context))))

    def find(self, path: Path) -> list[Path] | None:
        """Find the files of a folder with the format's finder; None if it has none."""
        return _load(self.finder)(path) if self.finder else None


def _load(name: str) -> Callable[..., Any]:
    module, _, function = name.partition(":")
    loaded: Callable[..., Any] = getattr(import_module(f".{module}", __package__), function)
    return loaded


M2 = ("*.m2", "*.m2.gz", "*.m2.bz2")
JSONL = ("*.jsonl", "*.jsonl.gz", "*.jsonl.bz2")
JSON = ("*.json", "*.json.gz", "*.json.bz2")
CSV = ("*.csv", "*.csv.gz", "*.csv.bz2")
SHEETS = ("*.xlsx", "*.ods", "*.xls")
_TEXT_TABLES = ("*.csv", "*.tsv", "*.jsonl", "*.ndjson")
TABLES = (*(name + packed for name in _TEXT_TABLES for packed in ("", ".gz", ".bz2")), "*.parquet", *SHEETS)
OBJECTS = tuple(dict.fromkeys((*JSONL, *TABLES)))  # JSON Lines in the first place
TABULAR = ("set", "wide", "date_format", "allow_rejects", "sheet")  # options of tables of signals
_OF_ONE = ("learner", "learner_from_path", "one_learner")  # options of logs of one learner each
FORMATS: dict[str, Format] = {
    format.name: format
    for format in (
        Format(
            "smart",
            "preference",
            "SMART's mnemonic pairs: votes, ratings, turns to learn.",
            '{"pair_id": 7, "term": "…", "mnemonic_a": "…", "mnemonic_b": "…",\n'
            ' "direct_comparisons": [2, 2, 1], "ratings_A_cumulative": [0, 0, 1, 1, 1], …}',
            "preferences.smart:read_smart",
            finder="preferences.smart:find_smart",
        ),
        Format(
            "m2",
            "gec",
            "Learner sentences with annotators' edits (CoNLL-2014, ERRANT, JFLEG …).",
            "S This are a sentence .\nA 1 2|||R:VERB:SVA|||is|||REQUIRED|||-NONE-|||0",
            "gec.m2:read_m2",
            M2,
        ),
        Format(
            "bea-json",
            "gec",
            "W&I+LOCNESS and FCE as published: JSON Lines with character offsets.",
            '{"text": "I has a dog.", "id": "1-1", "cefr": "A1.i",\n'
            ' "edits": [[0, [[2, 5, "have", "R:VERB:SVA"]]]]}',
            "gec.bea_json:read_bea",
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
            ("*.sgml", "*.sgm"),
        ),
        Format(
            "ua-gec",
            "gec",
            "UA-GEC: Ukrainian documents with corrections inside, one layer.",
            "==> 0006.a1.ann <==\nПривіт{=>,:::error_type=Punctuation} {Настя=>Насте:::error_type=G/Case}!",
            "gec.ua_gec:read_ua_gec",
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
            finder="gec.c4_200m:find_c4",
            together=True,
        ),
        Format(
            "rulec-sents",
            "gec",
            "RULEC-GEC's sentences without edits.",
            "2_15_7[Это важно для нашей страны .",
            "gec.rulec_sents:read_sents",
            ("*.sents", "*.sents.gz"),
            language="ru",
        ),
        Format(
            "mathdial",
            "dialogue",
            "MathDial: teachers' and students' turns, with the teachers' moves.",
            '{"qid": 6, "question": "…", "student_incorrect_solution": "…",\n'
            ' "conversation": "Teacher: (generic)Hi Scott|EOM|Student: I began with …"}',
            "tutoring.mathdial:read_mathdial",
            finder="tutoring.mathdial:find_mathdial",
        ),
        Format(
            "bridge",
            "dialogue",
            "Bridge: a novice tutor's and an expert's reply to one mistake.",
            '[{"c_id": "4_19", "c_h": [{"user": "student", "text": "7?"}],\n'
            ' "c_r": [{"user": "tutor", "text": "No."}],\n'
            ' "c_r_": [{"user": "tutor", "text": "What is 3 x 4?"}], "e": "guess"}]',
            "tutoring.bridge:read_bridge",
            finder="tutoring.bridge:find_bridge",
            lists=True,
        ),
        Format(
            "mrbench",
            "preference",
            "MRBench: human and model tutors' replies to a mistake, with labels.",
            "==> MRBench_V2.json <==\n"
            '[{"conversation_id": "930", "conversation_history": "Tutor: How many?\\nStudent: Nine.",\n'
            ' "Ground_Truth_Solution": "…", "anno_llm_responses":\n'
            '  {"Gemini": {"response": "Count again.", "annotation": {"Tutor_Tone": "Neutral"}}}}]',
            "tutoring.mrbench:read_mrbench",
            finder="tutoring.mrbench:find_mrbench",
            lists=True,
            together=True,
        ),
        Format(
            "socratic-llm",
            "preference",
            "socratic-llm: rated outputs of model tutors, and prompts.",
            '[{"prompt": "Student: …", "output": " What is 3 x 4?", "evaluation_error": null,\n'
            '  "evaluation": {"questions": "yes", "on_topic": 5.0, "helpful": 3.0,\n'
            '                 "reveal_answer": "no"}, "score": 0.9}]',
            "tutoring.socratic_llm:read_socratic_llm",
            finder="tutoring.socratic_llm:find_socratic_llm",
            lists=True,
        ),
        Format(
            "spock",
            "dialogue",
            "SPOCK: made-up dialogues whose tutor says why it answers so.",
            '{"id": "c1", "conversations": [{"from": "student", "value": "…"},\n'
            ' {"from": "initial_state", "value": {"Evaluation of Student Response": "g",\n'
            ' "Action Based on Evaluation": "12", "Step Number": "1", "Step State": "q",\n'
            ' "Tutorbot Response": "…"}}]}',
            "tutoring.spock:read_spock",
            JSON,
            finder="tutoring.spock:find_spock",
            lists=True,
            together=True,
        ),
        Format(
            "spock-problems",
            "preference",
            "SPOCK's problems: wrong answers, feedback, hints, answers.",
            "section_id,problems\n"
            '4.1,"{""Problem"": ""…"", ""SubProblems"": [{""Question"": ""…"", ""Answer"": ""…"",\n'
            ' ""Hint"": ""…"", ""Incorrect Response"": ""…"", ""Feedback"": ""…""}]}"',
            "tutoring.spock_problems:read_spock_problems",
            CSV,
            finder="tutoring.spock_problems:find_spock_problems",
        ),
        Format(
            "gsm8k",
            "preference",
            "GSM8K: problems, worked and Socratic answers, model solutions.",
            '{"question": "…", "answer": "She sells <<16-3=13>>13 eggs.\\n#### 13"}',
            "preferences.gsm8k:read_gsm8k",
            JSONL,
        ),
        Format(
            "uptake",
            "dialogue",
            "Uptake: teachers' replies to students, rated by up to three people.",
            "obs_id,exchange_idx,student_text,teacher_text,teacher_on_task,teacher_on_task_num_agree,"
            "teacher_on_task_majority,uptake,uptake_num_agree,uptake_majority\n"
            "4,65,It is 12.,Why did you add them?,1.0,3,1,1.6666666666666667,2,2.0",
            "tutoring.uptake:read_uptake",
            ("*uptake*.csv", "*uptake*.csv.gz"),
        ),
        Format(
            "cima",
            "dialogue",
            "CIMA: tutors' replies to a learner of Italian, with their actions.",
            '{"prepDataset": {"1": {"past_convo": ["Fill in the blank.", "e sotto il tavolo?"],\n'
            '  "engPrep": "is under the", "engObj": "table", "engColor": "pink",\n'
            '  "studentActions": ["True", "False", "False", "False"],\n'
            '  "tutorResponses": ["Almost! And pink?"],\n'
            '  "tutorActions": [[true, false, true, false, false]]}}, "shapeDataset": {}}',
            "tutoring.cima:read_cima",
            ("*dataset*.json",),
            lists=True,
        ),
        Format(
            "socratic-debugging",
            "dialogue",
            "Socratic Debugging: tutors' turns and alternatives.",
            "==> 0_5_fibonacci_socratic_dialogue.txt <==\n<problem>\nReturn the n-th Fibonacci number.\n"
            "</problem>\n<bug_code>\n1. def fibonacci(n):\n2.    return n\n</bug_code>\n"
            "<dialogue>\nUser: It returns 4 for 4.\nAssistant: What should it return?\n"
            "\t<alt>What does line 2 do?\n</dialogue>",
            "tutoring.socratic_debugging:read_socratic_debugging",
            finder="tutoring.socratic_debugging:find_socratic_debugging",
            together=True,
        ),
        Format(
            "prompts",
            "dialogue",
            "Prompts: JSON Lines with their completions, or CSV, .xlsx.",
            '{"id": "p1", "task": "mnemonic", "group": "candid", "prompt": "…",\n'
            ' "completions": [{"id": "p1-a", "content": "…", "origin": "human"}, …]}',
            "preferences.prompts:read_prompts",
            OBJECTS,
            people=True,
            mapped=True,
            options=("set", "wide", "sheet"),
        ),
        Format(
            "completions",
            "dialogue",
            "Answers to the prompts of another source: JSON Lines, CSV, .xlsx.",
            '{"prompt": "p1", "id": "p1-m", "content": "…", "author": "model-7b@3f2c",\n'
            ' "origin": "model", "context": {"seed": 7}}',
            "preferences.completions:read_completions",
            OBJECTS,
            about="prompts",
            people=True,
            mapped=True,
            options=("set", "sheet"),
        ),
        Format(
            "lexicon",
            "lexicon",
            "Words or idioms with meanings and frequencies: CSV, JSON Lines, .xlsx.",
            "term,language,gloss,frequency\nspill the beans,en,give away a secret,0.4",
            "preferences.lexicon:read_lexicon",
            TABLES,
            mapped=True,
            options=("set", "sheet"),
        ),
        Format(
            "chat",
            "preference",
            "Chats and preferences as OpenAI, ShareGPT, TRL, Alpaca and others write them.",
            '{"messages": [{"role": "user", "content": "7 x 8?"},\n'
            ' {"role": "assistant", "content": "Try 7 x 4 first."}]}',
            "preferences.chats.reader:read_chat",
            (*OBJECTS, "*.json"),
            mapped=True,
            people=True,
            options=("levels",),
            lists=True,
        ),
        Format(
            "votes",
            "preference",
            "Votes, or rankings (also XML): CSV, JSON Lines, Parquet or .xlsx.",
            "completion_a,completion_b,choice,annotator,shown_first,at\n"
            "p1-a,p1-b,tie,judge-3,a,2026-05-04T10:00:00Z",
            "preferences.signals:read_votes",
            TABLES,
            about="completions",
            people=True,
            alone="preferences.rankings:are_rankings",
            options=("by_model", *TABULAR),
        ),
        Format(
            "ratings",
            "preference",
            "Ratings of completions: CSV, JSON Lines, Parquet or .xlsx.",
            "completion,criterion,value,levels,annotator,at\np1-a,helpful,4,5,judge-3,2026-05-04",
            "preferences.signals:read_ratings",
            TABLES,
            about="completions",
            people=True,
            options=("levels", "by_model", "split", "scale", *TABULAR),
        ),
        Format(
            "outcomes",
            "log",
            "What learners achieved: CSV, JSON Lines, Parquet or .xlsx.",
            "completion,learner,measure,value,censored,at\np1-a,learner-9,turns,2,false,\n"
            "p1-a,learner-4,success,1,,",
            "preferences.signals:read_outcomes",
            TABLES,
            about="completions",
            people=True,
            options=TABULAR,
        ),
        Format(
            "reviews",
            "log",
            "Study logs: CSV, JSON Lines, Parquet, .xlsx, ASSISTments' lines.",
            "learner,item,skills,at,correct,attempts,duration_ms\n"
            "learner-9,card-17,plural|articles,2026-05-04T10:00:00Z,true,1,2300",
            "logs.reviews:read_reviews",
            TABLES,
            people=True,
            mapped=True,
            finish="logs.repeats:merge_repeats",
            options=(*_OF_ONE, "passing", "keep_repeats", *TABULAR),
        ),
        Format(
            "anki",
            "log",
            "Anki's review log: a collection, a package or revlog.csv.",
            "==> revlog.csv <==\nid,cid,usn,ease,ivl,lastIvl,factor,time,type\n"
            "1737747496478,1724592148120,1170,3,-600,-60,0,2411,0",
            "logs.anki:read_anki",
            finder="logs.anki:find_anki",
            people=True,
            mapped=True,
            options=_OF_ONE,
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
            ("*.json", *JSONL),
            people=True,
            lists=True,
        ),
    )
}
