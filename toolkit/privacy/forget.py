"""`preceptor forget LEARNER`: remove every row of a person from the store, for good.

Removed are: the person's sentences with their edits, and the prompts and completions made of them;
reviews, signals and answers, earlier versions too; questions, answers and signals of others about the
removed completions; replies of models to and about them; rejected rows that name the person; and the fits
that used any of these. The file is rewritten, so that no byte stays. Later ingests of the same input
reject the person's rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from ...schemas.errors import StoreError
from ...schemas.tables import FORGOTTEN, SIGNALS, TABLES, SignalType, select_signals
from ..store.connection import Store, insert, open_store, run, transaction, write_anew
from .pseudonyms import find_key_file, make_pseudonym, read_store_key, write_mark_sql
from .reach import OutsidePlace, find_beyond, remove_beyond
from .traces import Traces, find_traces, list_recipe_names, mark_rows


@dataclass(frozen=True)
class Forgotten:
    """Rows removed, by table, and the datasets that still hold rows of the person."""

    removed: dict[str, int]
    traces: Traces
    beyond: list[OutsidePlace] = field(default_factory=list)
    """Other places that may hold rows of the person."""
    cleaned: list[str] = field(default_factory=list)
    """Places that were removed."""


def _mine(signal: SignalType) -> str:
    """SELECT the keys of a person's signals of one type, and of those about the person's completions."""
    by_person = "annotator IN (FROM my_annotators)" if signal.annotator else f"{signal.learner} = $who"
    about = (f"{column} IN (FROM my_completions)" for column in signal.completions)
    return f"SELECT key FROM {signal.name} WHERE {' OR '.join((by_person, *about))}"


# Rows of the person, each in a temporary table of keys; later ones read earlier ones.
_MINE = {
    "my_sentences": "SELECT key FROM sentences WHERE learner = $who",
    "my_prompts": """SELECT key FROM prompts WHERE ref IN (FROM my_sentences)
        AND source IN (SELECT source FROM sentences WHERE learner = $who)""",
    "my_completions": "SELECT key FROM completions WHERE prompt IN (FROM my_prompts) OR author = $who",
    "my_sources": """SELECT source AS key FROM sentences WHERE key IN (FROM my_sentences)
        UNION SELECT source FROM completions WHERE key IN (FROM my_completions)""",
    "my_annotators": "SELECT key FROM annotators WHERE pseudonym = $who",
    **{f"my_{signal.name}": _mine(signal) for signal in SIGNALS},
    "my_questions": """SELECT key FROM questions WHERE completion_a IN (FROM my_completions)
        OR completion_b IN (FROM my_completions)""",
    "my_answers": """SELECT key FROM answers WHERE annotator IN (FROM my_annotators)
        OR question IN (FROM my_questions)""",
    # A reply to a request that two prompts share is stored once, with one of them.
    "my_replies": """SELECT key FROM replies WHERE prompt IN (FROM my_prompts)
        OR completion_a IN (FROM my_completions) OR completion_b IN (FROM my_completions)
        OR request IN (SELECT context->>'request' FROM completions WHERE key IN (FROM my_completions))""",
    # Any rejected row of a file with sentences of this learner alone may name the learner.
    "my_files": """SELECT {'source': source, 'path': path} AS key FROM sentences GROUP BY source, path
        HAVING bool_and(coalesce(learner = $who, false))""",
    "my_lines": """SELECT DISTINCT {'source': source, 'path': path, 'line': line} AS key FROM sentences
        WHERE learner = $who""",
    "my_fits": f"""WITH touched AS (
            {select_signals(where="key IN (FROM my_{name})")} UNION FROM my_completions)
        SELECT DISTINCT fit AS key FROM effectiveness WHERE completion IN (FROM touched)
        UNION SELECT key FROM fits WHERE contains(findings, $who)""",
}

_BY_KEY = {
    "sentences": "key IN (FROM my_sentences)",
    "edits": "sentence IN (FROM my_sentences)",
    # What the person wrote may be a wrong option of another's sentence or dialogue.
    "exercises": """sentence IN (FROM my_sentences) OR prompt IN (FROM my_prompts)
        OR completion IN (FROM my_completions)
        OR list_has_any(arms, (SELECT coalesce(list(key), []) FROM my_completions))
        OR len(distractors) > 0
            AND list_has_any(sources, (SELECT coalesce(list(key), []) FROM my_sources))""",
    "prompts": "key IN (FROM my_prompts)",
    "completions": "key IN (FROM my_completions)",
    "annotators": "key IN (FROM my_annotators)",
    **{signal.name: f"key IN (FROM my_{signal.name})" for signal in SIGNALS},
    "questions": "key IN (FROM my_questions)",
    "answers": "key IN (FROM my_answers)",
    "replies": "key IN (FROM my_replies)",
}
# Rows to remove, by table. From other tables that name people, such as reviews, the rows that name the
# person are removed.
_REMOVED = {
    **_BY_KEY,
    **{
        table.name: " OR ".join(f'"{column.name}" = $who' for column in table.people)
        for table in TABLES.values()
        if table.people and table.name not in _BY_KEY
    },
    "rejects": """contains(raw, $who) OR contains(path, $who)
        OR {'source': source, 'path': path} IN (FROM my_files)
        OR {'source': source, 'path': path, 'line': line} IN (FROM my_lines)""",
    "fits": "key IN (FROM my_fits)",
    "effectiveness": "fit IN (FROM my_fits)",
    "preferences": "fit IN (FROM my_fits)",
    "chain_ends": "fit IN (FROM my_fits)",
    "draws": "fit IN (FROM my_fits)",
    "text_states": "completion IN (FROM my_completions)",
}

# By what the person's rows are known in datasets, of this store as it is and as it was.
_MARKED = {
    kind: f"FROM {mine} UNION SELECT ref FROM traces WHERE person = $who AND kind = '{kind}'"
    for kind, mine in (("completion", "my_completions"), ("fit", "my_fits"))
}


def forget_person(
    store: Path,
    person: str,
    is_pseudonym: bool = False,
    look_in: Sequence[Path] = (),
    everywhere: bool = False,
) -> Forgotten:
    """Remove a person from the store file, and write the file anew so that no byte of them stays in it.

    `person` is the id that the input files have, or a pseudonym. Datasets are looked for where they were
    built, and anywhere inside the folders `look_in`; with `everywhere`, they and other copies that can be
    made again are removed. Raises StoreError as `forget` does.
    """
    with open_store(store) as con:
        who = person if is_pseudonym else make_pseudonym(person, read_store_key(con, find_key_file()))
        done = forget(con, who, look_in)
    write_anew(store)
    if everywhere:
        holding = [folder for folder, _ in done.traces.found]
        done = replace(done, cleaned=remove_beyond(done.beyond, holding))
    return done


def forget(con: Store, pseudonym: str, look_in: Sequence[Path] = ()) -> Forgotten:
    """Remove every row of the person, in one transaction; `write_anew` then removes their bytes.

    Returns the rows removed by table; none where the person was forgotten before. Datasets with rows of the
    person are found in both cases. Raises StoreError if the store holds no row of that person and has not
    forgotten them before.
    """
    with transaction(con):
        for name, keys in _MINE.items():
            given = {"who": pseudonym} if "$who" in keys else {}
            run(con, f"CREATE OR REPLACE TEMP TABLE {name} AS {keys}", given)
        mark_rows(con, pseudonym, _MARKED, list_recipe_names(con, look_in))
        removed = {name: _delete(con, name, rule, pseudonym) for name, rule in _REMOVED.items()}
        found = {name: n for name, n in removed.items() if n}
        mark = _mark(con, pseudonym)
        new = insert(con, FORGOTTEN, mark)
        if new and not found:
            raise StoreError("the store holds no row of that person; nothing was changed; check the id")
    traces = find_traces(con, mark["person"].item(), look_in)
    return Forgotten(found, traces, find_beyond(con, [folder for folder, _ in traces.found], look_in))


def _delete(con: Store, table: str, rule: str, pseudonym: str) -> int:
    given = {"who": pseudonym} if "$who" in rule else {}
    ((rows,),) = run(con, f'DELETE FROM "{table}" WHERE {rule}', given)
    return int(rows)


def _mark(con: Store, pseudonym: str) -> pl.DataFrame:
    ((mark,),) = run(con, f"SELECT {write_mark_sql('$who')}", {"who": pseudonym})
    return pl.DataFrame({"person": [mark], "forgotten_at": [datetime.now(UTC)]})
