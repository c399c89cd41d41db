"""Names and texts of users on the screen: as they are, whatever Rich's markup and emoji codes would make of them."""

import json
import os

import pyarrow.parquet as pq
import pytest

AWKWARD = (":100:", "[bold]", "[/]", "[link=http://x]", "\\[red]", ":smile:")
NAME = "".join(AWKWARD).replace("/", "_")
SOURCE = "s " + "".join(AWKWARD)


@pytest.fixture
def project(preceptor, tmp_path):
    """A store whose sources, files, people and texts have awkward names; ratings need no fit."""

    def run(*arguments, code=0):
        wide = os.environ | {"COLUMNS": "600"}
        ended = preceptor("--store", "s.duckdb", *arguments, cwd=tmp_path, env=wide)
        assert ended.returncode == code, ended.stderr
        return ended.stdout + ended.stderr

    rows = [
        {
            "id": f"p{n}{NAME}",
            "task": "tutor",
            "prompt": f"What is {n} {NAME}? Write to a{n}@example.org",
            "completions": [
                {"id": f"{side}{n}{NAME}", "content": f"{side} {n} {NAME}", "origin": "model"}
                for side in "ab"
            ],
        }
        for n in range(12)
    ]
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, rows)))
    votes = [
        f"a{n}{NAME},b{n}{NAME},{'a' if n + who < 12 else 'b'},ann{who}" for n in range(12) for who in (0, 1)
    ]
    header = "completion_a,completion_b,choice,annotator"
    (tmp_path / f"v{NAME}.csv").write_text("\n".join([header, *votes, f"a0{NAME},b0{NAME},{NAME},ann0"]))
    ratings = [f"{side}{n}{NAME},{NAME},{3 if side == 'a' else 1},3" for n in range(12) for side in "ab"]
    (tmp_path / "r.csv").write_text("\n".join(["completion,criterion,value,levels", *ratings]))
    (tmp_path / "r.yaml").write_text(
        "name: r\npairs: {policy: rubric-dominance}\nprivacy: {look: false}\n"
        "splits: {train: 1, validation: 0, test: 0}\n"
    )
    run("ingest", "prompts", "p.jsonl", "--source", SOURCE, "--license", "MIT")
    run("ingest", "ratings", "r.csv", "--source", f"r{SOURCE}", "--license", "MIT", "--about", SOURCE)
    return run


def test_names_are_printed_as_they_are(project, tmp_path):
    said = project("ingest", "votes", f"v{NAME}.csv", "--source", f"v{SOURCE}", "--about", SOURCE)
    assert f"v{SOURCE}: 24 rows taken, 1 rejected" in said
    place = f"v{NAME}.csv:26"[-25:]  # a long path is cut at its start
    assert place in said
    said = project("status")
    assert SOURCE in said
    assert place in said
    assert place in project("status", "--rejects", f"v{SOURCE}")
    assert f"v{SOURCE}" in project("annotate", "agreement", "--source", f"v{SOURCE}")
    assert SOURCE in project("scan", code=1)
    assert NAME in project("fuse", "--method", "map", "--source", SOURCE, code=1)
    project("build", "r.yaml", "--out", f"one{NAME}")
    (tmp_path / "r.yaml").write_text((tmp_path / "r.yaml").read_text() + f"title: '{SOURCE}'\n")
    assert f"written to two{NAME}; " in project("build", "r.yaml", "--out", f"two{NAME}")
    said = project("diff", f"one{NAME}", f"two{NAME}")
    assert json.dumps(SOURCE) in said
    assert f"one{NAME} -> two{NAME}" in said
    keys = pq.read_table(tmp_path / f"two{NAME}" / "preference_meta" / "train.parquet")["key"].to_pylist()
    assert NAME in project("why", keys[0])


def test_no_console_reads_markup(tmp_path):
    from preceptor.toolkit.cli.options import make_table, open_stderr, open_stdout

    text = " ".join(AWKWARD)
    for console in (open_stdout(), open_stderr()):
        console.width = 600
        with console.capture() as captured:
            console.print(text)
            console.print(make_table(text, (text, f"{text} "), [(text, text)]))
        assert captured.get().count(text) == 6


@pytest.mark.parametrize("name", ["", " "])
def test_a_source_needs_a_name(preceptor, tmp_path, name):
    (tmp_path / "p.jsonl").write_text('{"prompt": "a", "completion": "b"}')
    for arguments in (("ingest", "chat", "p.jsonl"), ("pull", "a/b"), ("generate", "--model", "x")):
        ended = preceptor(*arguments, "--source", name, cwd=tmp_path)
        assert ended.returncode == 2, arguments
        assert "a name must not be empty" in ended.stderr


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (
            "sources: [ratingz]",
            "sources: ratingz: no source of that name in the store; did you mean 'ratings'?",
        ),
        ("task: tutr", "task: tutr: no task of that name with prompts in the store; did you mean 'tutor'?"),
    ],
)
def test_a_recipe_of_what_the_store_does_not_have(preceptor, tmp_path, keys, said):
    (tmp_path / "p.jsonl").write_text('{"prompt": "a", "completion": "b"}')
    assert preceptor("ingest", "chat", "p.jsonl", "--source", "ratings", cwd=tmp_path).returncode == 0
    (tmp_path / "r.yaml").write_text(f"name: r\npairs: {{policy: rubric-dominance}}\n{keys}\n")
    ended = preceptor("build", "r.yaml", "--out", "out", cwd=tmp_path)
    assert ended.returncode == 2
    assert said in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("fuse", "--method", "laplce"), "Did you mean 'laplace'?"),
        (("scan", "--kind", "emial"), "Did you mean 'email'?"),
        (("annotate", "pull", "--kind", "studnt"), "Did you mean 'student'?"),
        (("annotate", "push", "--select", "randm"), "Did you mean 'random'?"),
        (("judge", "--normalise", "token"), "Did you mean 'tokens'?"),
        (("ingest", "parallel", "x", "--align", "erant"), "Did you mean 'errant'?"),
        (("ingest", "vots", "x"), "Did you mean 'votes'?"),
        (("recipe", "schema", "datset"), "did you mean 'dataset'?"),
    ],
)
def test_a_misspelt_value_is_answered_with_the_nearest(preceptor, tmp_path, arguments, said):
    ended = preceptor(*arguments, cwd=tmp_path)
    assert (ended.returncode, said in ended.stderr) == (2, True), ended.stderr


def test_a_value_that_is_not_near_is_answered_with_all(preceptor, tmp_path):
    ended = preceptor("fuse", "--method", "vi", cwd=tmp_path)
    assert "'hmc'" in ended.stderr
    assert "Did you mean" not in ended.stderr


def test_every_choice_names_the_nearest():
    """No option has click's own Choice, which lists words alone."""
    import click

    from preceptor.toolkit.cli.main import cli
    from preceptor.toolkit.cli.options import Choice

    def walk(command):
        yield command
        if isinstance(command, click.Group):
            for name in command.list_commands(click.Context(command)):
                yield from walk(command.get_command(click.Context(command), name))

    choices = [p for c in walk(cli) for p in c.params if isinstance(p.type, click.Choice)]
    assert choices
    assert [p.name for p in choices if not isinstance(p.type, Choice)] == []


@pytest.mark.parametrize(
    ("mapping", "said"),
    [
        ("anotator=judge", "--map anotator=…: not a column here; did you mean 'annotator'?"),
        ("annotator=jugde", "use --map annotator=judge"),
    ],
)
def test_a_misspelt_column_of_map(preceptor, tmp_path, mapping, said):
    (tmp_path / "p.jsonl").write_text(
        '{"id": "p", "task": "t", "prompt": "?", "completions": [{"id": "a", "content": "x"}, {"id": "b", "content": "y"}]}'
    )
    (tmp_path / "v.csv").write_text("completion_a,completion_b,choice,judge\na,b,a,j1\n")
    assert preceptor("ingest", "prompts", "p.jsonl", "--source", "p", cwd=tmp_path).returncode == 0
    ended = preceptor("ingest", "votes", "v.csv", "--source", "v", "--map", mapping, cwd=tmp_path)
    assert (ended.returncode, said in ended.stderr) == (2, True), ended.stderr
