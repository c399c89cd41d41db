"""Formats of texts and of judgements about them."""

from .format import JSONL, OBJECTS, TABLES, TABULAR, Format

PREFERENCES = (
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
        "gsm8k",
        "preference",
        "GSM8K: problems, worked and Socratic answers, model solutions.",
        '{"question": "…", "answer": "She sells <<16-3=13>>13 eggs.\\n#### 13"}',
        "preferences.gsm8k:read_gsm8k",
        JSONL,
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
)
