"""Proxies, certificates and tokens of the environment are named by their variable, in every command."""

import os
import sys

import pytest
import yaml

from preceptor.schemas.errors import HubError
from preceptor.schemas.support.hosts import check_network, keep_local_direct

SECRET = "pw-secret"
FAULTS = [
    ("ALL_PROXY", f"socks5://u:{SECRET}@127.0.0.1:9", "ALL_PROXY: names a SOCKS proxy"),
    ("HTTPS_PROXY", f"nonsense://u:{SECRET}@h", "HTTPS_PROXY: is no address of a proxy"),
    ("https_proxy", "http://[", "https_proxy: is no address of a proxy"),
    ("SSL_CERT_FILE", "/nowhere.pem", "SSL_CERT_FILE: '/nowhere.pem' cannot be read as certificates"),
    ("SSL_CERT_DIR", "/nowhere", "SSL_CERT_DIR: '/nowhere' cannot be read as certificates"),
]


@pytest.fixture
def commands(builds, tmp_path):
    """Every command that talks to the Hub or to Argilla, about hosts that do not exist."""
    config = tmp_path / "evaluate.yaml"
    config.write_text(
        yaml.safe_dump(
            {"name": "tiny", "metrics": ["exact"], "dataset_name": "lab/none", "dataset_revision": "a" * 40}
        )
    )
    argilla = ("--api-url", "https://argilla.invalid", "--api-key", "key")
    model = ("--model", "openai:m", "--base-url", "http://127.0.0.1:9/v1")
    return {
        "pull": ("pull", "lab/none"),
        "publish": ("publish", builds["replies"], "lab/none"),
        "evaluate": ("evaluate", config, *model, "--out", tmp_path / "out"),
        "push": ("annotate", "push", "--campaign", "c", "--rubric", "pairwise-preference", *argilla),
    }


def environment(**more):
    kept = {k: v for k, v in os.environ.items() if not k.upper().endswith("_PROXY")}
    return kept | {"HF_TOKEN": "hf_alice"} | more


@pytest.mark.parametrize("command", ["pull", "publish", "evaluate", "push"])
@pytest.mark.parametrize(("variable", "value", "says"), FAULTS)
def test_the_variable_is_named(preceptor, commands, monkeypatch, tmp_path, command, variable, value, says):
    if "socks" in value:
        monkeypatch.setitem(sys.modules, "socksio", None)
    done = preceptor(
        "--store", tmp_path / "s.duckdb", *commands[command], env=environment(**{variable: value})
    )
    assert done.returncode in (1, 2)
    assert says in " ".join(done.stderr.split()), done.stderr
    assert SECRET not in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("key", ["ab\r\ncd", "ab “cd”", "ab cd"])
def test_a_key_of_argilla_is_refused_by_the_name_of_its_variable(preceptor, commands, tmp_path, key):
    arguments = [*commands["push"][:-2]]
    done = preceptor(
        "--store",
        tmp_path / "s.duckdb",
        *arguments,
        env=environment(PRECEPTOR_ARGILLA_API_KEY=key),
    )
    assert done.returncode == 2
    assert "PRECEPTOR_ARGILLA_API_KEY" in done.stderr
    assert key not in done.stderr


@pytest.mark.parametrize("token", ["hf “x”y", "hf_a b"])
@pytest.mark.parametrize("command", ["pull", "publish", "evaluate"])
def test_a_token_that_no_header_carries_is_refused(preceptor, commands, tmp_path, command, token):
    done = preceptor("--store", tmp_path / "s.duckdb", *commands[command], env=environment(HF_TOKEN=token))
    assert done.returncode in (1, 2)
    assert "the token (HF_TOKEN, or that of 'hf auth login')" in " ".join(done.stderr.split())
    assert token not in done.stderr


def test_hosts_of_this_machine_are_kept_from_proxies(monkeypatch):
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "example.org")
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    check_network("http://localhost:8000", HubError)
    keep_local_direct("http://localhost:8000")
    keep_local_direct("https://huggingface.co")
    assert os.environ["NO_PROXY"] == os.environ["no_proxy"] == "example.org,localhost"
