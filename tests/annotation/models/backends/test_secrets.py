"""Keys, passwords, proxies and certificates: what cannot be used is named by its variable, and never shown."""

import base64
import json
import os
import subprocess
import sys
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_server import Said, serving

from preceptor.annotation.models.asking import ask
from preceptor.annotation.models.backends import endpoint as endpoint_module
from preceptor.annotation.models.backends.connection import KEY_VARIABLES, make_endpoint, read_key
from preceptor.annotation.models.backends.hidden import find_passwords, find_spellings, hide
from preceptor.annotation.models.backends.registry import find_backend
from preceptor.annotation.models.requests import Request, make_row
from preceptor.schemas.errors import AnnotationError
from preceptor.schemas.support.hosts import hide_userinfo

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
AWKWARD = st.text(st.sampled_from("aZ09-_./+=%&?#@:'\"\\<>{}[],; é£ÿ~$"), min_size=8, max_size=40)


@pytest.fixture(autouse=True)
def bare(monkeypatch):
    """No keys, proxies or certificates of whoever runs the tests, and no pauses."""
    for name in (*KEY_VARIABLES, *PROXIES, *map(str.lower, PROXIES), "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)

    async def rest(seconds):
        pass

    monkeypatch.setattr(endpoint_module, "rest", rest)


def spell(secret):
    """What programs make of a text, as a list that is none of the product's."""
    found = [
        secret,
        repr(secret)[1:-1],
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
    ]
    found += [quote(secret), quote(secret, ""), quote_plus(secret)]
    return [*found, base64.b64encode(secret.encode()).decode()]


def ask_once(url, say=lambda _: None):
    """The outcome of one request: its kept rows and every word said, also by the error."""
    kept, words = [], []
    try:
        ask(
            find_backend("openai:m", url),
            [Request(({"role": "user", "content": "q"},))],
            check=lambda text: {"text": text},
            keep=kept.extend,
            say=words.append,
            tries=1,
        )
    except AnnotationError as error:
        words.append(str(error))
        words.append(repr(error.__cause__))
    return [make_row(one) for one in kept], " ".join(words)


@given(AWKWARD, st.sampled_from(["msg {}", "{}", "Bearer {}", 'key="{}"']))
def test_no_spelling_of_a_secret_stays_in_a_text(secret, around):
    spellings = find_spellings([secret])
    for text in spell(secret):
        assert text not in hide(around.format(text), spellings)


@given(
    st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=30), st.integers(0, 9)
)
def test_a_password_in_base64_is_found_wherever_it_stands(secret, before):
    header = base64.b64encode(b"u" * before + secret.encode() + b":x").decode()
    shown = hide(header, find_spellings([secret]))
    assert len(shown) - len("[hidden]") <= len(header) - len(secret)


@pytest.mark.parametrize("placeholder", ["EMPTY", "none", "ollama", "x"])
def test_a_placeholder_is_no_secret(placeholder):
    assert hide(f"{placeholder} is said", find_spellings([placeholder])) == f"{placeholder} is said"


@pytest.mark.parametrize("around", ["{}\r", "{}\r\n", " {} ", "\n{}\t", "\ufeff{}".replace("\ufeff", " ")])
def test_white_space_around_a_key_does_not_matter(monkeypatch, around):
    monkeypatch.setenv("OPENAI_API_KEY", around.format("sk-secret-1"))
    with serving(lambda body: "four") as server:
        kept, _ = ask_once(server.url)
    assert kept[0]["answer"]
    assert server.headers[0]["Authorization"] == "Bearer sk-secret-1"


@given(
    AWKWARD, st.sampled_from("\r\n\x00\x1b\x7f“”’–ключ€"), st.integers(1, 7), st.sampled_from(KEY_VARIABLES)
)
def test_a_key_that_no_header_carries_is_refused_by_name_alone(secret, wrong, at, variable):
    key = f"k{secret[:at]}{wrong}{secret[at:]}k"
    with pytest.MonkeyPatch.context() as patch:
        try:
            patch.setenv(variable, key)
        except ValueError:  # no environment holds a NUL
            return
        with pytest.raises(AnnotationError) as caught:
            make_endpoint("http://127.0.0.1:9/v1", "m")
    said = f"{caught.value} {caught.value.__cause__!r} {caught.value.__context__!r}"
    assert said.startswith(f"{variable}: character {at + 2} of {len(key)} is ")
    assert not any(text in said for text in spell(key))
    assert wrong not in said


@settings(max_examples=8)
@given(AWKWARD.map(str.strip).filter(lambda key: len(key) >= 8))
def test_a_server_that_repeats_a_key_does_not_get_it_shown_or_kept(key):
    def echo(body):
        auth = server.headers[-1]["Authorization"]
        sent = auth.removeprefix("Bearer ")
        every = " | ".join([auth, *spell(sent)])
        status = statuses[0]
        return Said(every) if status == 200 else Said(status=status, body=f"refused: {every}")

    with pytest.MonkeyPatch.context() as patch, serving(echo) as server:
        patch.setenv("PRECEPTOR_API_KEY", key)
        statuses = [200, 400, 401, 500]
        while statuses:
            rows, words = ask_once(server.url)
            shown = words + json.dumps(rows, default=str, ensure_ascii=False)
            assert key not in shown
            assert quote(key, "") not in shown
            assert base64.b64encode(key.encode()).decode() not in shown
            statuses.pop(0)


def test_a_password_in_an_address_is_not_shown():
    with serving(lambda body: Said(status=400, body="no: dTpwdy1zZWNyZXQ= pw-secret")) as server:
        url = server.url.replace("//", "//u:pw-secret@")
        _, words = ask_once(url)
    assert base64.b64encode(b"u:pw-secret").decode() == "dTpwdy1zZWNyZXQ="
    assert f"{server.url}: 400" in words
    assert "pw-secret" not in words
    assert "dTpwdy1zZWNyZXQ" not in words
    assert "pw-secret" not in repr(make_endpoint(url, "m"))


@pytest.mark.parametrize(
    "address",
    [
        "ftp://u:pw-secret@h/v1",
        "http://u:pw/secret@h:x/v1",
        "u:pw-secret@h",
        "http://u:pw-secret@",
        "http://h/?k=pw-secret",
    ],
)
def test_an_address_that_is_refused_shows_no_password(address):
    with pytest.raises(AnnotationError) as caught:
        make_endpoint(address, "m")
    assert "secret" not in str(caught.value)
    assert "secret" not in repr(caught.value.__cause__)


def test_userinfo_is_found_and_left_out():
    assert hide_userinfo("http://me:p@ss/w@h:8/v1?k=v#f") == "http://h:8/v1"
    assert hide_userinfo("http://h/v1") == "http://h/v1"
    assert find_passwords("http://me:p%40ss@h") == ["p%40ss", "p@ss", "me:p%40ss", "me:p@ss"]
    assert find_passwords("http://h") == []


def test_the_first_variable_with_a_key_counts(monkeypatch):
    assert read_key() is None
    monkeypatch.setenv("OPENAI_API_KEY", "second-key")
    monkeypatch.setenv("PRECEPTOR_API_KEY", " \n")
    assert read_key() == "second-key"


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize(
    "proxy", ["http://127.0.0.1:9", "socks5://127.0.0.1:9", "nonsense://x", "http://[", "x y"]
)
def test_nothing_for_this_machine_goes_to_a_proxy(monkeypatch, name, proxy):
    monkeypatch.setenv(name, proxy)
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere.pem")
    with serving(lambda body: "four") as server:
        for url in (server.url, server.url.replace("127.0.0.1", "localhost")):
            kept, words = ask_once(url)
            assert kept, words


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("ALL_PROXY", "socks5://u:pw-secret@127.0.0.1:9", "ALL_PROXY: names a SOCKS proxy"),
        ("http_proxy", "nonsense://u:pw-secret@h", "http_proxy: 'nonsense://h' is no address of a proxy"),
        ("HTTP_PROXY", "http://u:pw-secret@127.0.0.1:9", "through the proxy of HTTP_PROXY"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_named_by_its_variable(monkeypatch, variable, value, says):
    if "socks" in value:
        monkeypatch.setitem(sys.modules, "socksio", None)
    monkeypatch.setenv(variable, value)
    _, words = ask_once("http://model.invalid/v1")
    assert says in words
    assert "pw-secret" not in words
    monkeypatch.setenv("NO_PROXY", "model.invalid")
    _, words = ask_once("http://model.invalid/v1")
    assert "PROXY" not in words.upper()


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_certificates_that_are_missing_are_named_by_their_variable(monkeypatch, variable, tmp_path):
    monkeypatch.setenv(variable, str(tmp_path / "nowhere"))
    _, words = ask_once("https://127.0.0.1:9/v1")
    if variable == "SSL_CERT_FILE":
        assert f"{variable}: '{tmp_path / 'nowhere'}' cannot be read as certificates" in words
    assert "Traceback" not in words


@pytest.mark.parametrize(
    ("key", "says"), [("sk-“secret”", "outside Latin-1"), ("sk-sec\nret", "a line break")]
)
def test_the_command_shows_one_line_and_no_traceback(tmp_path, key, says):
    command = [
        sys.executable,
        "-m",
        "preceptor.toolkit.cli.main",
        "--store",
        tmp_path / "s.duckdb",
        "generate",
        "--model",
        "openai:m",
        "--base-url",
    ]
    found = subprocess.run(
        [*command, "http://127.0.0.1:9/v1"],
        env={**os.environ, "PRECEPTOR_API_KEY": key},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 2, found.stderr
    assert found.stderr.startswith("preceptor: PRECEPTOR_API_KEY: character ")
    assert says in found.stderr
    assert "sec" not in found.stderr + found.stdout
