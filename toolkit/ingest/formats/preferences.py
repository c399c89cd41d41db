"""Formats of texts and of judgements about them."""

from .format import JSONL, OBJECTS, TABLES, TABULAR, Format, Sign

PREFERENCES = (
    Format(
        "smart",
        "preference",
        "SMART's mnemonic pairs: votes, ratings, turns to learn.",
        '{"pair_id": 7, "term": "…", "mnemonic_a": "…", "mnemonic_b": "…",\n'
        ' "direct_comparisons": [2, 2, 1], "ratings_A_cumulative": [0, 0, 1, 1, 1], …}',
        "preferences.smart:read_smart",
        (
            Sign(
                "pairs of mnemonics (pair_id, mnemonic_a, mnemonic_b)",
                keys=("pair_id", "mnemonic_a", "mnemonic_b"),
            ),
        ),
        finder="preferences.smart:find_smart",
    ),
    Format(
        "gsm8k",
        "preference",
        "GSM8K: problems, worked and Socratic answers, model solutions.",
        '{"question": "…", "answer": "She sells <<16-3=13>>13 eggs.\\n#### 13"}',
        "preferences.gsm8k:read_gsm8k",
        (
            Sign(
                "problems and worked answers that end in #### and a number",
                keys=("question", "answer"),
                text=r"####",
            ),
            Sign(
                "problems and solutions of models (ground_truth, is_correct)",
                keys=("question", "ground_truth"),
                inside=("is_correct", "solution"),
            ),
        ),
        JSONL,
    ),
    Format(
        "prompts",
        "dialogue",
        "Prompts: JSON Lines with their completions, or CSV, .xlsx.",
        '{"id": "p1", "task": "mnemonic", "group": "candid", "prompt": "…",\n'
        ' "completions": [{"id": "p1-a", "content": "…", "origin": "human"}, …]}',
        "preferences.prompts:read_prompts",
        (
            Sign(
                "prompts with completions (task, prompt, completions)", keys=("task", "prompt", "completions")
            ),
            Sign("prompts (id, task, messages)", keys=("id", "task", "messages")),
        ),
        OBJECTS,
        people=True,
        mapped=True,
        options=("set", "wide", "sheet"),
        table="preferences.prompts:PROMPT_COLUMNS",
    ),
    Format(
        "completions",
        "dialogue",
        "Answers to the prompts of another source: JSON Lines, CSV, .xlsx.",
        '{"prompt": "p1", "id": "p1-m", "content": "…", "author": "model-7b@3f2c",\n'
        ' "origin": "model", "context": {"seed": 7}}',
        "preferences.completions:read_completions",
        (),
        OBJECTS,
        about="prompts",
        people=True,
        mapped=True,
        options=("set", "sheet"),
        table="preferences.completions:COMPLETION_COLUMNS",
    ),
    Format(
        "lexicon",
        "lexicon",
        "Words or idioms with meanings and frequencies: CSV, JSON Lines, .xlsx.",
        "term,language,gloss,frequency\nspill the beans,en,give away a secret,0.4",
        "preferences.lexicon:read_lexicon",
        (),
        TABLES,
        mapped=True,
        options=("set", "sheet"),
        table="preferences.lexicon:LEXICON_COLUMNS",
        needs=("gloss", "frequency"),
    ),
    Format(
        "chat",
        "preference",
        "Chats and preferences as OpenAI, ShareGPT, TRL, Alpaca and others write them.",
        '{"messages": [{"role": "user", "content": "7 x 8?"},\n'
        ' {"role": "assistant", "content": "Try 7 x 4 first."}]}',
        "preferences.chats.reader:read_chat",
        (
            Sign("chats (messages)", keys=("messages",)),
            Sign("chats (conversations)", keys=("conversations",)),
            Sign("preferences (chosen, rejected)", keys=("chosen", "rejected")),
            Sign(
                "preferences (preferred_output, non_preferred_output)",
                keys=("preferred_output", "non_preferred_output"),
            ),
            Sign("answers to instructions (instruction, output)", keys=("instruction", "output")),
            Sign(
                "several answers to instructions (instruction, completions)",
                keys=("instruction", "completions"),
            ),
            Sign(
                "several answers to instructions (instruction, generations)",
                keys=("instruction", "generations"),
            ),
            Sign(
                "prompts with completions and labels (prompt, completion, label)",
                keys=("prompt", "completion", "label"),
            ),
            Sign(
                "prompts with a completion (prompt, completion)",
                keys=("prompt", "completion"),
                kinds=("JSON Lines", "JSON list"),
            ),
            Sign("prompts with a response (prompt, response)", keys=("prompt", "response")),
            Sign("trees of replies (prompt, replies)", keys=("prompt",), inside=("replies",)),
            Sign("two conversations and a winner", keys=("conversation_a", "conversation_b", "winner")),
            Sign("two responses and a winner", keys=("response_a", "response_b", "winner")),
        ),
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
        (
            Sign("rankings of systems (system1Id, system1rank, judgeId)", keys=("system1Id", "system1rank")),
            Sign(
                "rankings of systems in XML",
                text=r"\A\s*<(\?xml|ranking|set|appraise|wmt)[\s\S]*<ranking",
                name=r"\.xml(\.gz)?$",
            ),
        ),
        TABLES,
        about="completions",
        people=True,
        alone="preferences.rankings:are_rankings",
        options=("by_model", *TABULAR),
        table="preferences.signals:VOTE_COLUMNS",
    ),
    Format(
        "ratings",
        "preference",
        "Ratings of completions: CSV, JSON Lines, Parquet or .xlsx.",
        "completion,criterion,value,levels,annotator,at\np1-a,helpful,4,5,judge-3,2026-05-04",
        "preferences.signals:read_ratings",
        (),
        TABLES,
        about="completions",
        people=True,
        options=("levels", "by_model", "split", "scale", *TABULAR),
        table="preferences.signals:RATING_COLUMNS",
    ),
)
