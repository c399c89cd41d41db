"""Compare the tokenizer with the embeddings of the model.

tokenizer of 402 tokens, embeddings for 400, a row with token 401 -> REFUSED no_embedding
"""

from collections.abc import Iterator

from ..stages.settings import PreflightSettings
from ..stages.stage import Stage
from .records import Defect
from .rows import Tokenizer


def count_embeddings(where: str | None, stage: Stage, settings: PreflightSettings) -> int | None:
    """Count the tokens that a model has embeddings for, by its config.json; None if that cannot be known.

    It is None too where TRL enlarges the embeddings (chat_template_path).
    """
    from transformers import AutoConfig

    if where is None or ("chat_template_path" in stage.honours and settings.chat_template_path):
        return None
    try:
        config = AutoConfig.from_pretrained(
            where, revision=settings.model_revision or "main", trust_remote_code=settings.trust_remote_code
        )
    except Exception:  # a damaged file, which is named where the size is estimated
        return None
    rows = getattr(config.get_text_config(), "vocab_size", None)
    return rows if isinstance(rows, int) else None


def check_vocabulary(tokenizer: Tokenizer, embeddings: int | None) -> Iterator[Defect]:
    """Find tokens of the tokenizer that the model has no embedding for.

    A refusal if padding or the end of a text is among them, which every batch needs; else a warning: rows
    that have such tokens are refused where they are counted.
    """
    known = len(tokenizer)
    if embeddings is None or known <= embeddings:
        return
    said = f"the tokenizer has {known:,} tokens and the model embeddings for {embeddings:,}"
    for name in ("pad_token", "eos_token"):
        number = getattr(tokenizer, f"{name}_id")
        if number is not None and number >= embeddings:
            token = getattr(tokenizer, name)
            text = f"{said}, none for the {name} {token!r}: {name_remedy(known)}"
            yield Defect("no_embedding", "", 0, (), text, refused=True)
            return
    text = f"{said}; rows that have one of the others are refused: {name_remedy(known)}"
    yield Defect("vocabulary", "", 0, (), text, refused=False)


def name_remedy(tokens: int) -> str:
    """Say what to do where the embeddings are too few for a tokenizer of so many tokens."""
    return (
        "bring back the tokenizer that came with the model, or enlarge the model once in Python "
        f"(model.resize_token_embeddings({tokens}), then model.save_pretrained) and train the new embeddings "
        "too (all weights, or lora_modules_to_save: [embed_tokens])"
    )
