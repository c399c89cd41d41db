"""Chat templates of strangers come to an end, in our renderer and in transformers'."""

import json
import threading
import time

import pytest

from preceptor.annotation.models.templates import parse_template, render
from preceptor.schemas.errors import AnnotationError, EndlessTemplateError, GateError
from preceptor.schemas.support import chat_template
from preceptor.schemas.support.chat_template import (
    apply_chat_template,
    compile_chat_template,
    read_tokenizer_files,
    run_bounded,
)

HELLO = [{"role": "user", "content": "Why?"}]
LOOP = "{% for i in range(99999) %}"
NESTED = f"{LOOP * 3}{'{% endfor %}' * 3}"
OF_ONE_TEXT = f"{{% if 'secret' in messages[0].content %}}{NESTED}{{% endif %}}{{{{ messages[0].content }}}}"
POWERS = ("{% for i in range(10**12) %}{% endfor %}", "{{ 10**10**10 }}", "{{ 'x' * 99999999999 }}")


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """A second is long enough for what never ends."""
    monkeypatch.setattr(chat_template, "SECONDS", 1.0)


class Tokenizer:
    """Renders as transformers does."""

    def __init__(self, template):
        self.chat_template = template

    def apply_chat_template(self, dialogues, **more):
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        return ImmutableSandboxedEnvironment().from_string(self.chat_template).render(messages=dialogues)


@pytest.mark.parametrize("template", POWERS)
def test_powers_and_huge_numbers_are_refused_before_they_are_computed(template):
    with pytest.raises(EndlessTemplateError, match=r"powers \(\*\*\) or with numbers above a million"):
        compile_chat_template(template, {})
    with pytest.raises(EndlessTemplateError, match="powers"):
        apply_chat_template(Tokenizer(template), HELLO)


def test_loops_in_loops_are_stopped_also_where_one_text_alone_begins_them():
    asked = compile_chat_template(OF_ONE_TEXT, {})
    assert asked(HELLO, True) == "Why?"
    began = time.monotonic()
    with pytest.raises(EndlessTemplateError, match="took more than 1 seconds for one text, and was stopped"):
        asked([{"role": "user", "content": "a secret"}], True)
    with pytest.raises(EndlessTemplateError, match="does not come to an end"):
        apply_chat_template(Tokenizer(NESTED), HELLO)
    assert time.monotonic() - began < 30
    assert asked(HELLO, True) == "Why?"  # and goes on


def test_a_text_is_not_repeated_without_end():
    template = "{% set n = messages | length * 900000 %}{{ 'word' * n }}"
    with pytest.raises(GateError, match="repeats a text 900,000 times"):
        compile_chat_template(template, {})(HELLO, True)
    assert compile_chat_template("{{ '-' * 3 }}{{ 4 * 5 }}", {})(HELLO, True) == "---20"


def test_the_other_threads_of_a_program_go_on():
    seen = []

    def endless():
        try:
            run_bounded(lambda: [None for _ in iter(int, 1)])
        except EndlessTemplateError as error:
            seen.append(error)

    threads = [threading.Thread(target=endless) for _ in range(2)]
    for one in threads:
        one.start()
    assert run_bounded(lambda: "done") == "done"
    for one in threads:
        one.join(60)
    assert len(seen) == 2


def test_a_template_of_prompts_is_stopped_too():
    with pytest.raises(AnnotationError, match=r"mine\.jinja: .*was stopped"):
        render(parse_template(NESTED, "mine.jinja"))


def test_a_file_of_a_tokenizer_that_is_a_link_to_elsewhere_is_not_read(tmp_path):
    (tmp_path / "secret").write_text("of mine")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "tokenizer.json").write_text(json.dumps({}))
    (tmp_path / "model" / "chat_template.jinja").symlink_to("../secret")
    with pytest.raises(GateError, match=r"chat_template\.jinja leads out of the folder"):
        read_tokenizer_files(str(tmp_path / "model"))
