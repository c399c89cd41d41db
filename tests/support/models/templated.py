"""A built dataset folder of templated sentences, as `preceptor build` lays one out, and a tiny model for it."""

import hashlib
import json

import yaml
from tiny_model import tiny_model

WORDS = ["home", "out", "there", "away", "back", "now", "again", "early", "late", "up", "down", "here"]
WHO = ["he", "she", "it"]


def sentences(config, words):
    """Rows of a config: corrections of 'he go home .' and the like."""
    user = lambda text: [{"role": "user", "content": f"Correct: {text}"}]  # noqa: E731
    tutor = lambda text: [{"role": "assistant", "content": text}]  # noqa: E731
    rows = []
    for word in words:
        for who in WHO:
            wrong, right = f"{who} go {word} .", f"{who} goes {word} ."
            pair = {"prompt": user(wrong), "chosen": tutor(right), "rejected": tutor(wrong)}
            if config == "preference":
                rows.append(pair)
            elif config == "soft":
                rows.append(pair | {"p": 0.75})
            elif config == "sft":
                rows.append({"prompt": user(wrong), "completion": tutor(right)})
            else:
                rows += [
                    {"prompt": user(wrong), "completion": tutor(t), "label": t == right}
                    for t in (right, wrong)
                ]
    return rows


def templated_dataset(folder, configs=("preference", "sft", "soft", "unpaired"), change=lambda row: row):
    """Write the folder: twelve words to train on but for three, which are held out. `change` is done to rows."""
    from datasets import Dataset

    files, counts = {}, {}
    card = []
    for config in configs:
        (folder / config).mkdir(parents=True)
        parts = {"train": WORDS[:-3], "validation": WORDS[-3:]}
        counts[config] = {}
        for split, words in parts.items():
            path = folder / config / f"{split}.parquet"
            rows = [change(row) for row in sentences(config, words)]
            Dataset.from_list(rows).to_parquet(path)
            files[f"{config}/{split}.parquet"] = hashlib.sha256(path.read_bytes()).hexdigest()
            counts[config][split] = len(rows)
        card.append(
            {
                "config_name": config,
                "data_files": [{"split": s, "path": f"{config}/{s}.parquet"} for s in parts],
            }
        )
    (folder / "README.md").write_text(f"---\n{yaml.safe_dump({'configs': card})}---\n")
    manifest = {
        "recipe": {"name": "templated", "publish_under": None},
        "files": files,
        "gates": [],
        "counts": counts,
        "licenses": ["CC-BY-4.0"],
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def templated_model(folder):
    """A tiny model of random weights whose tokenizer knows these sentences."""
    texts = [m["content"] for row in sentences("preference", WORDS) for m in row["prompt"] + row["chosen"]]
    return tiny_model(folder, texts=texts)
