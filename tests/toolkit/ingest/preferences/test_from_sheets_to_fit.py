"""Four sheets as schools and apps write them become a fit in the six commands of the guide."""

import json
import re
import shlex

import pytest
from places import ROOT

from preceptor.toolkit.store.connection import open_store, query

GUIDE = (ROOT / "docs" / "formats" / "tables.md").read_text(encoding="utf-8")
TERMS = {  # term: a good mnemonic, a poor one
    "osmosis": ("Water moves to the salty side, like guests to the snacks.", "Os is a bone."),
    "isotope": ("Same place (iso topos) in the table, another weight.", "Ice on top of a pea."),
    "diurnal": ("Di-urn-al: the urn is seen by day.", "Die, urn, Al."),
    "laconic": ("Spartans of Laconia said 'If'.", "Lacks onions."),
    "estuary": ("Where the east wind steers the sea into a river.", "Estonian story."),
    "quorum": ("Enough of a core to decide.", "A quart of rum."),
}
NAMES = ["Ada", "Ben", "Cy", "Dot", "Eve", "Flo"]


def order(n):
    """Whether the good mnemonic of the n-th term is its first."""
    return n % 2 == 0


def write_sheets(folder):
    """The four sheets and the table of texts; the good mnemonic wins eleven times of twelve."""
    texts, votes, form, ratings, log = [], [], [], [], []
    for n, (term, (good, poor)) in enumerate(TERMS.items()):
        first, second = (good, poor) if order(n) else (poor, good)
        texts.append(f'{term},"{first}","{second}"')
        for i, name in enumerate(NAMES):
            well = "first" if order(n) else "second"
            said = "both are equal" if i == n else well
            votes.append(f"{term}-1;{term}-2;{said};{name}")
            ratings.append(f"{name};{term}-1;{(4 + i % 2) if order(n) else 1 + i % 3}")
            ratings.append(f"{name};{term}-2;{1 + i % 3 if order(n) else 4 + i % 2}")
            for side in (1, 2):
                solved = (side == 1) == order(n) if i else i == 1
                log.append(
                    f"{name.lower()}@x.org,{term}-{side},{'Yes' if solved else 'no'},{i + 1:02}.05.2026"
                )
    for i, name in enumerate(NAMES):
        answers = ["No difference" if i == n else "Left" if order(n) else "Right" for n in range(len(TERMS))]
        form.append(f"2026/05/0{i + 1} 9:15:00,{name},{','.join(answers)}")
    questions = ",".join(f"Which is better: {term}" for term in TERMS)
    files = {
        "mnemonics.csv": ("utf-8", ["term,mnemonic_1,mnemonic_2", *texts]),
        "spring.csv": (
            "utf-8",
            ["Results of spring term;;;", ";;;", "Mnemonic A;Mnemonic B;Better;Judge", *votes],
        ),
        "form.csv": ("utf-8-sig", [f"Timestamp,Your name,{questions}", *form]),
        "ratings.csv": ("cp1251", ["Учень;Мнемоніка;Оцінка", *ratings]),
        "app.csv": ("utf-8", ["user,card,solved,day", *log]),
    }
    for name, (encoding, lines) in files.items():
        (folder / name).write_bytes("".join(f"{line}\r\n" for line in lines).encode(encoding))
    return {name: lines for name, (_, lines) in files.items()}


def read_commands():
    text = re.search(r"<!-- test: sheets -->\n```console\n(.*?)```", GUIDE, re.S)
    return [shlex.split(line.removeprefix("$ ")) for line in text[1].replace("\\\n", " ").splitlines()]


def test_the_guide_shows_the_sheets_as_they_are(tmp_path):
    for name, lines in write_sheets(tmp_path).items():
        shown = re.search(rf"==> {re.escape(name)} <==\n(.*?)\n(?:==>|```)", GUIDE, re.S)[1].splitlines()
        for line, right in zip(shown, lines, strict=False):
            assert right.startswith(line.removesuffix("…")), name


@pytest.mark.slow
def test_four_sheets_become_a_fit_in_six_commands(preceptor, tmp_path):
    write_sheets(tmp_path)
    commands = read_commands()
    assert len(commands) == 6
    for command in commands:
        done = preceptor(*command[1:], cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "rejected, kept" not in done.stderr
    found = json.loads(preceptor("status", "--json", cwd=tmp_path).stdout)
    tables = found["tables"]
    assert [tables[name] for name in ("prompts", "completions", "votes", "ratings", "outcomes")] == [
        6,
        12,
        72,
        72,
        72,
    ]
    (fit,) = found["fits"]
    assert fit["converged"]
    with open_store(next(tmp_path.glob("**/*.duckdb")), read_only=True) as con:
        scores = dict(
            query(
                con, "SELECT ref, mean FROM effectiveness e JOIN completions c ON c.key = e.completion"
            ).rows()
        )
    for n, term in enumerate(TERMS):
        better, worse = (1, 2) if order(n) else (2, 1)
        assert scores[f"{term}-{better}"] > scores[f"{term}-{worse}"]
