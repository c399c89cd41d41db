"""The dataset card: README.md with the YAML that the Hub and `datasets` read."""

import re
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from ...schemas.derive import derive_features
from ...schemas.licenses import find_hub_name, read_license
from ...schemas.published import declare_published, list_with_meta
from ...schemas.recipe import CONFIGS, Recipe
from ...schemas.support.text import escape_markdown
from ...schemas.tables import Table
from .choose.exercises import KINDS
from .choose.policies import MEANINGS
from .clean import STEPS
from .parquet import SHARD

REPOSITORY = "PATH_OR_REPO"
"""Stands in a card for the name of its repository until it is published there."""
_NO_LANGUAGE = ("und", "mul", "zxx", "mis")  # ISO 639's words for unknown, several, none, uncoded
_SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
    (100_000_000, "10M<n<100M"),
)


def render_card(recipe: Recipe, facts: dict[str, Any]) -> str:
    """Write the card as Markdown; `facts` are those of the manifest."""
    first = next((name for name in CONFIGS if name in recipe.configs), "preference")
    rows = sum(facts["counts"][first].values())
    tables = [
        declare_published(name, recipe.format == "conversational")
        for config, splits in facts["counts"].items()
        if splits
        for name in list_with_meta(config)
    ]
    header = {
        "pretty_name": recipe.title or recipe.name,
        "language": list_languages(facts["languages"]) or list_languages([recipe.language]),
        "license": find_hub_name(read_license(recipe.publish_under).id) if recipe.publish_under else "other",
        "task_categories": ["text-generation"],
        "size_categories": [next((name for limit, name in _SIZES if rows < limit), "100M<n<1B")],
        "tags": [
            *(["exercises"] if first == "exercises" else ["preference", "dpo"]),
            "education",
            *([recipe.task] if recipe.task else []),
        ],
        "configs": [
            {
                "config_name": name,
                "default": name == first,
                "data_files": [
                    {"split": split, "path": f"{name}/{split}{'*' if n > SHARD else ''}.parquet"}
                    for split, n in _splits(name, facts).items()
                ],
            }
            for name in (table.name for table in tables)
        ],
    }
    header |= _dataset_info(tables)
    if recipe.publish_under is None:
        header["license_name"] = "not-for-publication"
    elif header["license"] == "other":
        header["license_name"] = read_license(recipe.publish_under).id
    environment = Environment(
        loader=PackageLoader("preceptor.toolkit.dataset", ""),
        autoescape=select_autoescape(),  # of HTML templates; the card is Markdown
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["text"] = escape_markdown
    environment.filters["plain"] = _keep_plain
    return environment.get_template("card.md.jinja").render(
        header=yaml.safe_dump(header, sort_keys=False, allow_unicode=True).strip(),
        recipe=recipe,
        facts=facts,
        agreement=[_agreement(one) for one in facts.get("agreement", [])],
        rows=rows,
        tables=tables,
        steps=STEPS,
        kinds=KINDS,
        meaning=MEANINGS.get(recipe.pairs.policy, ""),
        repository=REPOSITORY,
        local=recipe.publish_under is None,
    )


def list_languages(tags: list[str]) -> list[str]:
    """List the ISO 639 codes of BCP 47 tags, as the Hub takes them: pt of pt-BR, nothing of und."""
    bases = {re.split("[-_]", tag.strip().lower())[0] for tag in tags}
    return sorted(base for base in bases if re.fullmatch("[a-z]{2,3}", base) and base not in _NO_LANGUAGE)


def _agreement(one: dict[str, Any]) -> list[str]:
    """Write the cells of a row about one signal's annotators."""
    votes = one["signal"] == "votes"
    who = [f"{one['annotators']:,}"] if one["annotators"] else []
    if one["unnamed"]:
        who.append("not named" if not who else f"{one['unnamed']:,} judgements name nobody")
    units = f" of {one['shared_units']:,} {'pairs' if votes else 'answers'}" if one["shared_units"] else ""
    between = "" if one["low"] is None else f" ({one['low']:.2f} to {one['high']:.2f})"
    return [
        one["source"],
        "votes" if votes else "ratings: " + one["signal"],
        ", ".join(who),
        f"{one['shared_judgements']:,}{units}",
        f"none: {one['why']}" if one["alpha"] is None else f"{one['alpha']:.2f}{between}, {one['metric']}",
    ]


def _splits(table: str, facts: dict[str, Any]) -> dict[str, int]:
    """Return rows per split; a _meta table has those of its config."""
    counts: dict[str, int] = facts["counts"][table.removesuffix("_meta")]
    return counts


def _dataset_info(tables: list[Table]) -> dict[str, Any]:
    """Derive the features as `datasets` writes them into a card.

    No splits: without their bytes in memory, which are not known here, it takes none of them and warns.
    """
    from datasets import DatasetInfo
    from datasets.info import DatasetInfosDict
    from huggingface_hub import DatasetCardData

    infos = {
        table.name: DatasetInfo(config_name=table.name, features=derive_features(table)) for table in tables
    }
    data = DatasetCardData()
    DatasetInfosDict(infos).to_dataset_card_data(data)
    return {"dataset_info": data["dataset_info"]}


def _keep_plain(text: str) -> str:
    """Keep of a name what means nothing in BibTeX, HTML or Markdown, on one line."""
    return " ".join(re.sub(r"[^\w\s.,;:!?()/+'-]", " ", text).split())
